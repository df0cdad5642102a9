"""REST routes of models, model versions and imports."""

from __future__ import annotations

from ui.shared.dependants import deleting
from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["models"])
router.rpc("GET /models", "registry.ListModels", "List models by id.")
router.rpc("GET /models/{model_id}", "registry.GetModel", "Return one model.")
router.rpc("GET /model-versions", "registry.ListModelVersions", "List model versions, newest first.")
router.rpc(
    "GET /model-versions/{model_version_id}",
    "registry.GetModelVersion",
    "Return one model version; a model's id alone gives its newest.",
)
router.rpc(
    "DELETE /model-versions/{model_version_id}",
    "registry.DeleteModelVersion",
    "Delete one model version; refused while a version, a run, a training job or a loop is made of it or refers to it.",
    action=deleting(lambda clients: clients.registry.DeleteModelVersion),
)
router.rpc(
    "POST /imports",
    "registry.CreateImport",
    "Start to import a model from a file or a folder of this machine.",
)
router.rpc("GET /imports", "registry.ListImports", "List imports, newest first.")
router.rpc("GET /imports/{import_id}", "registry.GetImport", "Return one import.")
router.rpc(
    "POST /imports/{import_id}/cancel", "registry.CancelImport", "Cancel an import; nothing of it becomes visible."
)
router.events(
    "/imports/{import_id}/events", "registry.WatchImport", "registry.GetImport", "Stream the events of an import."
)
