"""What the id of a file under `/v1/files` names."""

from ui.openai.fine_tuning.results import job_of_file


def test_a_dataset_may_be_called_as_the_results_of_a_job_are() -> None:
    assert job_of_file("results-job-7") == "job-7"
    assert job_of_file("results-2024@1") == ""
