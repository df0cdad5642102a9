"""REST routes of exports and publications."""

from __future__ import annotations

from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["shipping"])
router.rpc("POST /exports", "registry.CreateExport", "Start to write a form in which other programs serve a version.")
router.rpc("GET /exports", "registry.ListExports", "List exports, newest first.")
router.rpc("GET /exports/{export_id}", "registry.GetExport", "Return one export.")
router.rpc(
    "POST /exports/{export_id}/cancel", "registry.CancelExport", "Cancel an export; nothing of it becomes visible."
)
router.events(
    "/exports/{export_id}/events", "registry.WatchExport", "registry.GetExport", "Stream the events of an export."
)
router.rpc(
    "POST /publications",
    "registry.CreatePublication",
    "Start to publish a version: of a model to a folder, a hub, Ollama or an OCI registry; of a dataset to a folder or "
    "a hub.",
)
router.rpc("GET /publications", "registry.ListPublications", "List publications, newest first.")
router.rpc("GET /publications/{publication_id}", "registry.GetPublication", "Return one publication.")
router.rpc(
    "POST /publications/{publication_id}/cancel",
    "registry.CancelPublication",
    "Cancel a publication; nothing of it becomes visible.",
)
router.events(
    "/publications/{publication_id}/events",
    "registry.WatchPublication",
    "registry.GetPublication",
    "Stream the events of a publication.",
)
