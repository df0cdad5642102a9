"""The `drillyard` command."""

from __future__ import annotations

import typer

from ui.cli import protocols
from ui.cli.connection.mcp_server import mcp
from ui.cli.demo import demo
from ui.cli.gc import gc
from ui.cli.open_page import open_page
from ui.cli.options import grouped
from ui.cli.up import up
from ui.diagnoses.commands import doctor
from ui.evaluations import commands as evaluations
from ui.evaluations.feedback import commands as feedback
from ui.evaluations.feedback import session_commands as sessions
from ui.evaluations.judge import judge
from ui.gateway.access import commands as access
from ui.gateway.access.workspaces import commands as workspaces
from ui.loops import commands as loops
from ui.loops.decision_commands import add_decision_commands
from ui.loops.report_commands import report
from ui.loops.schedules import commands as schedules
from ui.models import commands as models
from ui.models.exports import commands as exports
from ui.shipping.deployments import alias_commands as aliases
from ui.shipping.deployments import commands as deployments
from ui.shipping.shipments import commands as shipments
from ui.test_runs import commands as test_runs
from ui.test_suites import commands as test_suites
from ui.training_jobs import commands as training_jobs
from ui.training_jobs.datasets import commands as datasets

app = typer.Typer(
    name="drillyard",
    help="Drills language models until they obey the protocol of the agent that will use them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.command()(grouped(up))
app.command()(grouped(demo))
app.command()(grouped(doctor))
app.command("open")(grouped(open_page))
app.command()(grouped(judge))
app.command()(grouped(mcp))
app.command()(grouped(report))
app.command()(grouped(gc))
app.command()(grouped(access.audit))
app.command()(grouped(shipments.publish))
app.command()(grouped(shipments.ship))
app.command()(grouped(aliases.promote))
app.command()(grouped(aliases.rollback))
app.add_typer(models.app, name="models")
app.add_typer(exports.exports, name="exports")
app.add_typer(exports.publications, name="publications")
app.add_typer(test_suites.app, name="test-suites")
app.add_typer(test_runs.app, name="test-runs")
app.add_typer(evaluations.app, name="evaluations")
app.add_typer(feedback.app, name="feedback")
app.add_typer(sessions.app, name="sessions")
app.add_typer(datasets.app, name="datasets")
app.add_typer(training_jobs.app, name="training-jobs")
app.add_typer(training_jobs.app, name="train", help="The same as `training-jobs`.")
add_decision_commands(loops.app)
app.add_typer(loops.app, name="loops")
app.add_typer(loops.app, name="loop", help="The same as `loops`.")
app.add_typer(schedules.app, name="schedules")
app.add_typer(shipments.app, name="shipments")
app.add_typer(deployments.app, name="deployments")
app.add_typer(aliases.app, name="aliases")
app.add_typer(protocols.app, name="protocols")
app.add_typer(access.app, name="keys")
app.add_typer(access.users_app, name="users")
app.add_typer(workspaces.app, name="workspaces")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
