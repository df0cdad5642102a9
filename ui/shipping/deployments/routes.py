"""REST routes of deployments and aliases."""

from __future__ import annotations

from ui.shared.rpc import RpcRouter

router = RpcRouter(tags=["deployments"])
router.rpc(
    "POST /deployments",
    "registry.CreateDeployment",
    "Serve a version; it answers under `/v1` by the deployment's id once the state is READY.",
)
router.rpc("GET /deployments", "registry.ListDeployments", "List deployments, newest first.")
router.rpc("GET /deployments/{deployment_id}", "registry.GetDeployment", "Return one deployment as it stands now.")
router.rpc(
    "DELETE /deployments/{deployment_id}",
    "registry.DeleteDeployment",
    "Take a deployment down; refused while an alias points at it.",
)
router.rpc("GET /aliases", "registry.ListAliases", "List aliases by id.")
router.rpc("GET /aliases/{alias_id}", "registry.GetAlias", "Return one alias.")
router.rpc(
    "PUT /aliases/{alias_id}",
    "registry.SetAlias",
    "Point a name at a version in one step; refused when another move came first.",
)
router.rpc(
    "POST /aliases/{alias_id}/rollback", "registry.RollbackAlias", "Point a name at its version before, in one step."
)
router.rpc("DELETE /aliases/{alias_id}", "registry.DeleteAlias", "Remove a name; its version and deployment stay.")
