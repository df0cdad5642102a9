"""With tls, every pod has a certificate, shows it, and is asked for its health where none is needed."""

from __future__ import annotations

import json

import pytest

from tests.charts.tools import CHART, DEPLOYABLES, SERVICES, environment_of, helm, of_kind, pod_specs, render

EXISTING = ("--set", "tls.existingSecret=certificates")
ISSUED = ("--set", "tls.certManager.issuerRef.name=lab,tls.certManager.issuerRef.kind=ClusterIssuer")
ELSEWHERE = (
    "--set",
    "training.backend=kubernetes,training.namespace=gpus,serviceToken.existingSecret=t,artifacts.url=s3://b/d",
)


@pytest.mark.parametrize(("values", "secret"), [(EXISTING, "certificates"), (ISSUED, "dy-{}-tls")])
def test_every_pod_shows_a_certificate_and_is_probed_without_one(values: tuple[str, ...], secret: str) -> None:
    pods = pod_specs(render(*values))
    for name in (*DEPLOYABLES, "smoke"):
        (container,) = pods[f"dy-{name}"]["containers"]
        volumes = {volume["name"]: volume for volume in pods[f"dy-{name}"]["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert volumes["tls"]["secret"] == {"secretName": secret.format(name), "defaultMode": 0o440}
        assert mounts["tls"] == "/etc/drillyard/tls"
        assert environment_of(pods[f"dy-{name}"])[f"{name.upper().replace('-', '_')}_TLS_DIR"] == mounts["tls"]
        if name != "smoke":
            assert container["readinessProbe"]["httpGet"] == {
                "path": "/health/ready",
                "port": "metrics",
                "scheme": "HTTP",
            }


def test_each_certificate_is_for_the_names_of_its_service_and_for_calling() -> None:
    certificates = of_kind(render(*ISSUED), "Certificate")
    assert set(certificates) == {f"dy-{name}-tls" for name in (*DEPLOYABLES, "smoke")}
    for name in SERVICES:
        spec = certificates[f"dy-{name}-tls"]["spec"]
        assert spec["secretName"] == f"dy-{name}-tls"
        assert spec["dnsNames"] == [f"dy-{name}", f"dy-{name}.drilling", f"dy-{name}.drilling.svc"]
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["issuerRef"] == {"name": "lab", "kind": "ClusterIssuer"}
    assert of_kind(render(*EXISTING), "Certificate") == of_kind(render(), "Certificate") == {}


def test_attempts_in_another_namespace_have_a_certificate_there() -> None:
    manifests = render(*ISSUED, *ELSEWHERE)
    assert of_kind(manifests, "Certificate")["dy-training-tls"]["metadata"]["namespace"] == "gpus"
    trainer = environment_of(pod_specs(manifests)["dy-trainer"])
    assert json.loads(trainer["TRAINER_KUBERNETES"])["tls_secret"] == "dy-training-tls"
    # They call the pod by its address, which no certificate is for.
    assert trainer["TRAINER_REPORT_NAME"] == "dy-trainer"


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ((*EXISTING, *ISSUED), "are both set, so it is not clear whose certificates the services show"),
        ((*ELSEWHERE, "--set", "tls.certManager.issuerRef.name=lab"), "Name a ClusterIssuer"),
        (("--set", "tls.certManager.issuerRef.kind=Issuer"), "kind"),
        (("--set", "tls.existingSecret=No_Name"), "existingSecret"),
    ],
)
def test_values_that_give_no_certificate_are_refused(values: tuple[str, ...], refusal: str) -> None:
    answer = helm("template", "dy", str(CHART), *values)
    assert answer.returncode != 0
    assert refusal in answer.stderr
