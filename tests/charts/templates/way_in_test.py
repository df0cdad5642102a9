"""An Ingress or an HTTPRoute leads to a gateway that asks for a login, with what the gateway expects of a proxy."""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.charts.tools import CHART, helm, of_kind, render
from ui.gateway.settings import GatewaySettings

LOGIN = ("--set", "authentication.existingSecret=login,authentication.outsideUrl=https://lab.example/drill/")
INGRESS = ("--set", "ingress.enabled=true")
ROUTE = ("--set", "httpRoute.parentRefs[0].name=public,httpRoute.parentRefs[0].namespace=gateways")


def test_an_ingress_leads_the_outside_address_to_the_gateway() -> None:
    manifests = render(*LOGIN, *INGRESS, "--set", "ingress.className=nginx,ingress.tlsSecret=lab-tls")
    (ingress,) = of_kind(manifests, "Ingress").values()
    kubernetes_validate.validate(ingress, "1.37", strict=True)
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("lab.example", "/drill", "Prefix")
    ports = {port["name"] for port in of_kind(manifests, "Service")["dy-gateway"]["spec"]["ports"]}
    assert path["backend"]["service"]["name"] == "dy-gateway"
    assert path["backend"]["service"]["port"]["name"] in ports
    assert ingress["spec"]["tls"] == [{"hosts": ["lab.example"], "secretName": "lab-tls"}]


@pytest.mark.parametrize("settings", [(), ("--set", "services.gateway.env.GATEWAY_MAX_BODY_BYTES=268435456")])
def test_an_ingress_takes_bodies_as_large_as_the_gateway_does(settings: tuple[str, ...]) -> None:
    own = ("--set-string", r"ingress.annotations.nginx\.org/proxy-read-timeout=1h")
    (ingress,) = of_kind(render(*LOGIN, *INGRESS, *settings, *own), "Ingress").values()
    annotations = ingress["metadata"]["annotations"]
    most = 268435456 if settings else max(GatewaySettings().max_body_bytes, GatewaySettings().max_json_bytes)
    assert annotations["nginx.org/client-max-body-size"] == str(most)
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == str(most)
    assert annotations["nginx.org/proxy-read-timeout"] == "1h"


def test_a_route_leads_the_outside_address_to_the_gateway() -> None:
    (route,) = of_kind(render(*LOGIN, *ROUTE), "HTTPRoute").values()
    spec = route["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert spec["hostnames"] == ["lab.example"]
    assert spec["rules"] == [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/drill"}}],
            "backendRefs": [{"name": "dy-gateway", "port": 7860}],
            "timeouts": {"request": "0s"},
        }
    ]


def test_without_a_path_all_of_the_host_is_the_gateways() -> None:
    manifests = render(*LOGIN, *INGRESS, *ROUTE, "--set", "authentication.outsideUrl=https://lab.example:8443")
    (ingress,), (route,) = (of_kind(manifests, kind).values() for kind in ("Ingress", "HTTPRoute"))
    assert ingress["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/"
    assert route["spec"]["hostnames"] == ["lab.example"]


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (INGRESS, "but the gateway asks for no login"),
        (ROUTE, "but the gateway asks for no login"),
        ((*INGRESS, "--set", "authentication.existingSecret=login"), "names no https:// address"),
        ((*INGRESS, *LOGIN, "--set", "authentication.outsideUrl=http://lab.example"), "names no https:// address"),
        (("--set", "httpRoute.requestTimeout=soon"), "requestTimeout"),
    ],
)
def test_a_way_in_past_the_login_or_tls_is_refused(values: tuple[str, ...], refusal: str) -> None:
    answer = helm("template", "dy", str(CHART), *values)
    assert answer.returncode != 0
    assert refusal in answer.stderr
