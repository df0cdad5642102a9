"""Settings of the registry."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.chassis.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Read from `REGISTRY_…`."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_", frozen=True, extra="ignore")
    shown = ("source_hosts", "secret_hosts", "secrets_dir", "kubernetes_namespace")

    import_roots: tuple[Path, ...] = Field(
        default=(), description="Folders below which models may be imported, as a JSON list; empty for anywhere."
    )
    source_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that models come from, private ones too; none: this machine and the internet.",
    )
    secret_hosts: dict[str, tuple[str, ...]] = Field(
        default={}, description="Hosts that may see a token, by its secret; one without shows itself to source_hosts."
    )
    ollama_stores: tuple[Path, ...] = Field(
        default=(Path("~/.ollama/models"), Path("/usr/share/ollama/.ollama/models")),
        description="Folders of Ollama's models on this machine, whose blobs are used instead of fetching them.",
    )
    llama_server: str = Field(
        default="", description="Command of llama.cpp's server; else that of LLAMA_SERVER or PATH."
    )
    kubernetes_namespace: str = Field(default="", description="Where versions are deployed; empty: not in a cluster.")
    kubernetes_config: Path | None = Field(default=None, description="A kubeconfig; else the pod's service account.")
    kubernetes_owner: str = Field(default="", description="The registry's own Deployment, with which all goes.")
    kubernetes_labels: dict[str, str] = Field(default={}, description="Labels of what is deployed, as a JSON object.")
    kubernetes_claim: str = Field(default="", description="Volume claim with the data folder; empty: pods fetch.")
    kubernetes_same_node: bool = Field(default=True, description="Pods must be on the node that has the claim.")
    kubernetes_fetch_image: str = Field(default="", description="The registry's image, by which pods fetch artifacts.")
    kubernetes_secret: str = Field(default="", description="Secret with what reading the artifacts needs.")
    vllm_image: str = Field(default="", description="Serves folders of weights in the cluster.")
    llama_server_image: str = Field(default="", description="Serves GGUF files in the cluster.")
    publish_roots: tuple[Path, ...] = Field(
        default=(), description="Folders below which versions may be published, as a JSON list; empty for anywhere."
    )
    num_exports: int = Field(default=1, ge=1, le=16, description="Exports, and publications, that run at once.")
    num_imports: int = Field(default=1, ge=1, le=16, description="Imports that run at once.")
