"""The promises of aliases and deployments, over every database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text

from services.chassis.database import Database
from services.chassis.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound
from services.registry.__main__ import MIGRATIONS
from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    DeploymentTest,
    DeploymentTestOutcome,
)
from services.registry.domain.identifiers import version_ref
from services.registry.domain.model import ModelVersion, ModelVersionKind
from services.registry.domain.paging import PageRequest
from services.registry.store.aliases import SqlAliasStore
from services.registry.store.deployments import SqlDeploymentStore
from services.registry.store.models import SqlModelStore
from tests.contract.conftest import OpenDatabase
from tests.contract.registry_store_test import model_draft

CHAMPION = "tiny:champion"
STATES_OF_THE_RELEASE_BEFORE = {"starting", "ready", "failed", "stopping"}
READY = DeploymentStatus(DeploymentState.READY, base_url="http://127.0.0.1:1/v1")


@dataclass(frozen=True)
class Stores:
    aliases: SqlAliasStore
    deployments: SqlDeploymentStore
    models: SqlModelStore
    versions: tuple[str, ...]
    database: Database

    async def point(
        self, version_id: str, expected: int, deployment_id: str = "", shadow: str = "", evidence: str = "evaluation-1"
    ) -> Alias:
        move = AliasMove(CHAMPION, version_id, deployment_id, (evidence,) if evidence else (), shadow)
        return await self.aliases.set(move, expected)

    async def deploy(self, version_id: str, request_id: str = "", *, num_gpus: int = 0, suite: str = "") -> Deployment:
        spec = DeploymentSpec(version_id, DeploymentBackend.UNSPECIFIED, "", 1, num_gpus, 0, suite)
        return await self.add(request_id, spec, suite)

    async def add(self, request_id: str, spec: DeploymentSpec, suite: str) -> Deployment:
        return await self.deployments.add(request_id, spec, DeploymentBackend.WORKER, suite)

    async def version(self, version_id: str) -> ModelVersion:
        version = await self.models.get_version(version_ref(version_id))
        assert version is not None
        return version


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, open_database: OpenDatabase) -> AsyncIterator[Stores]:
    database = await open_database(request.param, MIGRATIONS)
    models = SqlModelStore(database)
    versions = tuple([(await models.add_version(model_draft(content=name))).version_id for name in "abc"])
    yield Stores(SqlAliasStore(database), SqlDeploymentStore(database), models, versions, database)


async def test_of_callers_that_saw_the_same_revision_one_moves_the_alias(stores: Stores) -> None:
    for expected in (0, 1):
        moves = [stores.point(stores.versions[number % 3], expected) for number in range(12)]
        results = await asyncio.gather(*moves, return_exceptions=True)
        (alias,) = [result for result in results if isinstance(result, Alias)]
        assert {type(result) for result in results} == {Alias, Aborted}
        assert await stores.aliases.get(CHAMPION) == alias
        assert alias.revision == expected + 1


async def test_rollbacks_go_back_one_version_each_until_there_is_none(stores: Stores) -> None:
    first, second, third = stores.versions
    for number, version_id in enumerate((first, second, second, third)):
        await stores.point(version_id, number, evidence="" if number == 2 else "evaluation-1")
    points = [(await stores.aliases.rollback(CHAMPION, revision)).model_version_id for revision in (4, 5)]
    assert points == [second, first]
    with pytest.raises(FailedPrecondition, match="no version before"):
        await stores.aliases.rollback(CHAMPION, 6)
    with pytest.raises(Aborted):
        await stores.aliases.rollback(CHAMPION, 4)
    history = await stores.aliases.history(CHAMPION)
    assert [move.model_version_id for move in history] == [first, second, third, second, second, first]
    assert {move.evaluation_ids for move in history} == {("evaluation-1",)}, "a move to the same version keeps them"


async def test_a_deleted_alias_is_gone_and_its_moves_stay(stores: Stores) -> None:
    await stores.point(stores.versions[0], 0)
    await stores.aliases.delete(CHAMPION)
    with pytest.raises(NotFound):
        await stores.aliases.get(CHAMPION)
    assert (await stores.aliases.list(PageRequest())).items == ()
    alias = await stores.point(stores.versions[1], 0)
    assert (alias.revision, alias.previous_model_version_id) == (3, "")


async def test_aliases_are_listed_by_id(stores: Stores) -> None:
    names = ["tiny:a", "tiny:b", "tiny:c"]
    for name in reversed(names):
        await stores.aliases.set(AliasMove(name, stores.versions[0], "", (), ""), 0)
    first = await stores.aliases.list(PageRequest(2))
    last = await stores.aliases.list(PageRequest(2, first.next_token))
    assert [alias.alias_id for alias in (*first.items, *last.items)] == names
    assert last.next_token == ""


async def test_only_a_ready_deployment_of_the_version_answers_to_an_alias(stores: Stores) -> None:
    version_id = stores.versions[0]
    deployment_id = (await stores.deploy(version_id)).deployment_id
    failed = DeploymentStatus(DeploymentState.FAILED, "Back-off pulling image")
    for status in (None, failed):
        if status:
            await stores.deployments.tell(deployment_id, status)
        with pytest.raises(FailedPrecondition, match=r"is starting|Back-off pulling image"):
            await stores.point(version_id, 0, deployment_id)
    await stores.deployments.tell(deployment_id, READY)
    with pytest.raises(FailedPrecondition, match=f"serves {version_id}"):
        await stores.point(stores.versions[1], 0, deployment_id)
    assert (await stores.point(version_id, 0, deployment_id)).deployment_id == deployment_id
    with pytest.raises(FailedPrecondition, match=CHAMPION):
        await stores.deployments.stop(deployment_id)


@pytest.mark.parametrize("outcome", [DeploymentTestOutcome.PASSED, DeploymentTestOutcome.FAILED])
async def test_a_deployment_with_a_suite_answers_to_an_alias_once_it_has_passed(
    stores: Stores, outcome: DeploymentTestOutcome
) -> None:
    version_id, store = stores.versions[0], stores.deployments
    deployment = await stores.deploy(version_id, suite="roo_xml/smoke@1")
    assert deployment.workspace_id == "default"
    await store.tell(deployment.deployment_id, deployment.tested(READY))
    await store.tell_test(deployment.deployment_id, DeploymentTest(test_run_id="run-1", summary="It is asked."))
    with pytest.raises(FailedPrecondition, match=r"is testing: It is asked\."):
        await stores.point(version_id, 0, deployment.deployment_id)
    ended = DeploymentTest(outcome, "run-1", "evaluation-1", "0.0% conform.")
    await store.tell_test(deployment.deployment_id, ended)
    await store.tell_test(deployment.deployment_id, DeploymentTest(DeploymentTestOutcome.PASSED))
    deployment = await store.get(deployment.deployment_id)
    assert deployment.test == ended and deployment.tested(READY) == DeploymentStatus(
        deployment.state, deployment.reason, READY.base_url
    )
    if outcome is DeploymentTestOutcome.FAILED:
        with pytest.raises(FailedPrecondition, match=r"is failed: 0\.0% conform\."):
            await stores.point(version_id, 0, deployment.deployment_id)
    else:
        assert (await stores.point(version_id, 0, deployment.deployment_id)).revision == 1
    with pytest.raises(FailedPrecondition, match="no suite to pass"):
        await store.tell_test((await stores.deploy(version_id)).deployment_id, ended)


async def test_replicas_of_the_release_before_read_what_is_tested_and_let_it_through_to_no_alias(
    stores: Stores,
) -> None:
    deployment = await stores.deploy(stores.versions[0], suite="roo_xml/smoke@1")
    asked = DeploymentTest(test_run_id="run-1", summary="It is asked.")
    await stores.deployments.tell(deployment.deployment_id, deployment.tested(READY))
    for test in (None, asked):
        if test:
            await stores.deployments.tell_test(deployment.deployment_id, test)
        async with stores.database.session() as session:
            states = (await session.execute(text("SELECT state FROM deployments"))).scalars().all()
        assert set(states) <= STATES_OF_THE_RELEASE_BEFORE
        assert (await stores.deployments.get(deployment.deployment_id)).state is DeploymentState.TESTING
    async with stores.database.session() as session:
        await session.execute(text("UPDATE deployments SET state = 'ready', reason = ''"))
    with pytest.raises(FailedPrecondition, match=r"is testing: It is asked\."):
        await stores.point(stores.versions[0], 0, deployment.deployment_id)


async def test_after_a_rollback_workers_answer_where_the_deployment_is_gone(stores: Stores) -> None:
    deployments = [(await stores.deploy(version_id)).deployment_id for version_id in stores.versions[:2]]
    for number, deployment_id in enumerate(deployments):
        await stores.deployments.tell(deployment_id, READY)
        await stores.point(stores.versions[number], number, deployment_id)
    await stores.deployments.stop(deployments[0])
    await stores.deployments.remove(deployments[0])
    alias = await stores.aliases.rollback(CHAMPION, 2)
    assert (alias.model_version_id, alias.deployment_id) == (stores.versions[0], "")


async def test_a_version_that_something_uses_is_not_deleted_and_named_by_it(stores: Stores) -> None:
    first, second, third = stores.versions
    await stores.point(first, 0)
    await stores.point(second, 1, shadow=third)
    for version_id in (first, second, third):
        with pytest.raises(FailedPrecondition, match=CHAMPION):
            await stores.models.delete_version(await stores.version(version_id))
    await stores.aliases.delete(CHAMPION)
    deployment_id = (await stores.deploy(second)).deployment_id
    with pytest.raises(FailedPrecondition, match=deployment_id):
        await stores.models.delete_version(await stores.version(second))
    await stores.models.delete_version(await stores.version(first))


async def test_the_form_that_a_served_adapter_is_put_on_is_not_deleted(stores: Stores) -> None:
    async def made(kind: ModelVersionKind, base: str) -> str:
        draft = replace(model_draft(content=f"{kind} of {base}", base=base), kind=kind)
        return (await stores.models.add_version(draft)).version_id

    weights, other, _ = stores.versions
    trained = await made(ModelVersionKind.ADAPTER, weights)
    form, another = [await made(ModelVersionKind.GGUF, base) for base in (weights, other)]
    for adapted in (trained, weights):
        deployment_id = (await stores.deploy(await made(ModelVersionKind.GGUF_ADAPTER, adapted))).deployment_id
        with pytest.raises(FailedPrecondition, match=deployment_id):
            await stores.models.delete_version(await stores.version(form))
        await stores.deployments.remove(deployment_id)
    await stores.models.delete_version(await stores.version(another))


async def test_no_alias_ever_points_at_a_version_that_is_deleted_meanwhile(stores: Stores) -> None:
    for version_id in stores.versions:
        move = AliasMove(f"tiny:{version_id[-1]}", version_id, "", (), "")
        version = await stores.version(version_id)
        outcomes = await asyncio.gather(
            stores.models.delete_version(version), stores.aliases.set(move, 0), return_exceptions=True
        )
        kinds = {type(outcome) for outcome in outcomes}
        assert kinds in ({type(None), NotFound}, {FailedPrecondition, Alias}), outcomes


async def test_a_repeated_request_is_one_deployment(stores: Stores) -> None:
    deployments = await asyncio.gather(*(stores.deploy(stores.versions[0], "r") for _ in range(5)))
    assert len({deployment.deployment_id for deployment in deployments}) == 1
    with pytest.raises(AlreadyExists):
        await stores.deploy(stores.versions[0], "r", num_gpus=1)


async def test_a_request_is_the_same_by_its_words_and_not_by_the_suite_that_was_found_for_them(
    stores: Stores,
) -> None:
    spec = DeploymentSpec(stores.versions[0], DeploymentBackend.UNSPECIFIED, "", 1, 0, 0, "roo_xml/smoke", 0.5)
    first = await stores.add("r", spec, "roo_xml/smoke@1")
    assert (await stores.add("r", spec, "roo_xml/smoke@2")) == first
    assert first.spec.test_suite_version_id == "roo_xml/smoke@1"
    untested = replace(spec, test_suite_version_id="", minimum_rate=0.0, without_test=True)
    for other in (untested, replace(spec, minimum_rate=0.6), replace(spec, test_suite_version_id="")):
        with pytest.raises(AlreadyExists):
            await stores.add("r", other, "")
    # As the release before wrote it, which knew no suites.
    row = "asked_test_suite = NULL, test_suite_version_id = '', minimum_rate = 0"
    async with stores.database.session() as session:
        await session.execute(text(f"UPDATE deployments SET {row}"))
    for same in (spec, untested):
        assert (await stores.add("r", same, same.test_suite_version_id)).deployment_id == first.deployment_id
    with pytest.raises(AlreadyExists):
        await stores.add("r", replace(spec, num_gpus=1), "")


async def test_what_is_taken_down_does_not_come_back(stores: Stores) -> None:
    deployment_id = (await stores.deploy(stores.versions[0])).deployment_id
    await stores.deployments.stop(deployment_id)
    await stores.deployments.tell(deployment_id, READY)
    assert (await stores.deployments.get(deployment_id)).state is DeploymentState.STOPPING
    await stores.deployments.remove(deployment_id)
    assert await stores.deployments.all() == ()


async def test_one_replica_at_a_time_looks_after_deployments(
    request: pytest.FixtureRequest, open_database: OpenDatabase
) -> None:
    store = SqlDeploymentStore(await open_database("postgresql", MIGRATIONS))
    claims = await asyncio.gather(*(store.is_reconciler(owner, 60) for owner in "abc"))
    assert sum(claims) == 1
    holder = "abc"[claims.index(True)]
    other = "b" if holder == "a" else "a"
    assert await store.is_reconciler(holder, 60) and not await store.is_reconciler(other, 60)
    assert await store.is_reconciler(holder, 0.1)
    await asyncio.sleep(0.2)
    assert await store.is_reconciler(other, 60) and not await store.is_reconciler(holder, 60)
