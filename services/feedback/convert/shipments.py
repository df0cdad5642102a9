"""What differs between the wire's words for shipments and the domain's; all else has equal names."""

from __future__ import annotations

from drillyard.feedback.v1 import shipment_pb2
from google.protobuf.json_format import MessageToDict

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.feedback.convert.loops import export_fields
from services.feedback.domain.shipment import Shipment, ShipmentSpec


def shipment_spec_from_proto(spec: shipment_pb2.ShipmentSpec) -> ShipmentSpec:
    """Return the spec with its defaults; of the export only what was set."""
    endpoint = MessageToDict(spec.endpoint, preserving_proto_field_name=True) if spec.HasField("endpoint") else None
    return from_message(ShipmentSpec, spec, export=export_fields(spec.export), endpoint=endpoint)


def shipment_to_proto(shipment: Shipment) -> shipment_pb2.Shipment:
    """Return the shipment; the ids in its spec are those of the versions that they named."""
    message = to_message(
        shipment.state,
        shipment_pb2.Shipment,
        shipment_id=shipment.shipment_id,
        spec=to_message(shipment.asked, shipment_pb2.ShipmentSpec),
        job=job_to_proto(shipment.job),
    )
    message.spec.model_version_id = shipment.inputs.model_version_id
    message.spec.test_suite_version_id = shipment.inputs.suite.test_suite_version_id
    return message
