import base64
import errno
from urllib.parse import quote

import grpc
import grpc.aio
import pytest

from services.chassis.errors import ERROR_CLASSES, Internal, InvalidArgument, NotFound, ResourceExhausted, ServiceError
from services.chassis.status import STATUS_OF, from_exception, from_rpc_error, to_status


def over_the_wire(error: ServiceError) -> ServiceError:
    status = to_status(error)
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    return from_rpc_error(grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), metadata, status.message))


@pytest.mark.parametrize("cls", ERROR_CLASSES)
def test_every_class_survives_the_wire_with_both_sentences(cls: type[ServiceError]) -> None:
    back = over_the_wire(cls("The suite ‘kern’ is unknown.", "List the suites.", field="suite_id"))
    assert type(back) is cls
    assert (back.problem, back.next_step) == ("The suite ‘kern’ is unknown.", "List the suites.")
    assert back.fields == {"field": "suite_id"}
    assert str(back) == "The suite ‘kern’ is unknown. List the suites."


def test_each_class_has_a_status_of_its_own() -> None:
    assert len(set(STATUS_OF.values())) == len(STATUS_OF) == len(ERROR_CLASSES)


def test_a_subclass_travels_as_the_class_of_its_code() -> None:
    class ModelNotFound(NotFound):
        pass

    assert type(over_the_wire(ModelNotFound("No such model."))) is NotFound


def test_long_texts_are_cut_to_what_metadata_holds() -> None:
    status = to_status(InvalidArgument("ü" * 100_000, "ü" * 100_000, field="x" * 100_000))
    encoded = len(quote(status.message)) + len(base64.b64encode(status.trailing_metadata[0][1]))
    assert encoded < 7000
    assert status.message.endswith("…")


def test_text_that_is_no_unicode_is_no_second_error() -> None:
    assert "model" in over_the_wire(NotFound("There is no model '\udcff'.")).problem


def test_a_status_without_our_details_keeps_the_peers_words() -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "connection refused"
    )
    back = from_rpc_error(error)
    assert back.code == "UNAVAILABLE"
    assert back.problem == "connection refused."
    assert "address" in back.next_step


def test_damaged_details_are_no_second_error() -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    back = from_rpc_error(grpc.aio.AioRpcError(grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), metadata, "gone"))
    assert (type(back), back.problem) == (Internal, "gone.")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_exhausted_resource_that_names_the_folder(number: int) -> None:
    known = from_exception(OSError(number, "full", "/data/registry/x"))
    assert isinstance(known, ResourceExhausted)
    assert "/data/registry/x" in known.problem


def test_faults_of_the_program_stay_unknown() -> None:
    assert from_exception(KeyError("x")) is None
    assert from_exception(OSError(errno.EIO, "io")) is None
