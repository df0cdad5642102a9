"""`drillyard keys`, `drillyard users` and `drillyard audit`: who may ask a gateway, and what they did."""

from __future__ import annotations

from typing import Annotated

import typer

from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show

app = typer.Typer(help="Keys of a gateway that asks for one.")
users_app = typer.Typer(help="People who log in by name and password.")
WorkspaceOption = Annotated[str, typer.Option("--workspace", help="To which belongs what is made.")]
UserArgument = Annotated[str, typer.Argument(help="Name of the user.")]
KeyArgument = Annotated[str, typer.Argument(help="Name of the key.")]


@command(app, "create")
def create(
    key_id: KeyArgument,
    scopes: Annotated[
        list[str], typer.Option("--scope", help="read, test, train, feedback, publish or admin; may be repeated.")
    ],
    common: Common,
    expire_days: Annotated[float, typer.Option(help="Valid for so many days; 0: for ever.", min=0, max=3650)] = 90,
    workspace_id: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Make a key, and print it this once."""
    with connected(common) as gateway:
        body = {"key_id": key_id, "scopes": scopes, "expire_days": expire_days, "workspace_id": workspace_id}
        made = gateway.post("/api-keys", body)
        show(made, as_json=common.as_json, table=lambda: print(made["key"]))


@listing(app)
@command(app, "list")
def list_keys(common: Common) -> None:
    """List the keys, newest first."""
    with connected(common) as gateway:
        keys = gateway.get("/api-keys")["api_keys"]
        rows = [
            (
                key["key_id"],
                key["workspace_id"],
                ", ".join(key["scopes"]),
                key["creator"],
                key["last_use_time"] or "never",
                f"revoked {key['revoke_time']}" if key["revoke_time"] else key["expire_time"] or "never",
            )
            for key in keys
        ]
        columns = ("key", "workspace", "scopes", "made by", "last used", "ends")
        none = "There are no keys yet. Make one with `drillyard keys create NAME --scope read`."
        show(keys, as_json=common.as_json, table=lambda: print_table("Keys", columns, rows, empty=none))


@command(app, "revoke")
def revoke(key_id: KeyArgument, common: Common) -> None:
    """Refuse a key from now on, and end the sessions that were opened with it."""
    with connected(common) as gateway:
        answer = gateway.post(f"/api-keys/{key_id}/revoke")
        show(answer, as_json=common.as_json, table=lambda: print(f"The key {key_id} is revoked."))


@command(users_app, "create")
def create_user(
    user_id: UserArgument,
    common: Common,
    role: Annotated[str, typer.Option(help="viewer, reviewer, trainer, publisher or admin.")] = "viewer",
    workspace_id: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Add a user, who logs in by name and password; that is asked for."""
    # Everybody on this machine can read the options of a command.
    password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with connected(common) as gateway:
        body = {"user_id": user_id, "role": role, "password": password, "workspace_id": workspace_id}
        added = gateway.post("/users", body)["user"]
        show(added, as_json=common.as_json, table=lambda: print(f"{user_id} may log in as {role}."))


@listing(users_app)
@command(users_app, "list")
def list_users(common: Common) -> None:
    """List the users by name."""
    with connected(common) as gateway:
        users = gateway.get("/users")["users"]
        facts = ("user_id", "workspace_id", "role", "creator", "create_time")
        rows = [tuple(user[name] for name in facts) for user in users]
        none = "There are no users. Add one with `drillyard users create NAME`."
        columns = ("user", "workspace", "role", "added by", "added at")
        show(users, as_json=common.as_json, table=lambda: print_table("Users", columns, rows, empty=none))


@command(users_app, "delete")
def delete_user(user_id: UserArgument, common: Common) -> None:
    """Forget a user, and end their sessions."""
    with connected(common) as gateway:
        answer = gateway.delete(f"/users/{user_id}")
        show(answer, as_json=common.as_json, table=lambda: print(f"{user_id} is forgotten."))


def audit(
    common: Common,
    caller: Annotated[str, typer.Option(help="Only what this caller did, such as key:ci.")] = "",
    limit: Annotated[int, typer.Option(help="Most events.", min=1, max=100_000)] = 50,
) -> None:
    """Print who did what, newest first."""
    with connected(common) as gateway:
        events = gateway.every("/audit-events", "audit_events", limit, caller=caller)
        rows = [
            (event["time"], event["caller"], event["address"], event["action"], event["status"]) for event in events
        ]
        columns = ("time", "caller", "from", "action", "status")
        none = "Nothing was done yet."
        show(events, as_json=common.as_json, table=lambda: print_table("Audit log", columns, rows, empty=none))
