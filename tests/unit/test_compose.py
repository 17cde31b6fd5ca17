"""`deploy/compose`: policies of our own over its files, and that what they name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from answerbox import __version__
from tests.deploy_kit import DEPLOY, ROOT, longest_stop_s, read_yaml, settings

FOLDER = DEPLOY / "compose"
FILES = ("compose.yaml", "langfuse.yaml")
BASE, LANGFUSE = (read_yaml(FOLDER / name) for name in FILES)
OURS: dict[str, Any] = BASE["services"]["answerbox"]
SERVICES: dict[str, Any] = {**BASE["services"], **{k: v for k, v in LANGFUSE["services"].items() if "image" in v}}
SECRET = re.compile(r"PASSWORD|SECRET|SALT|_KEY|_AUTH|DATABASE_URL")
BY_REFERENCE = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")
EXACT_TAG = re.compile(r"[a-z0-9/-]+:v?\d+\.\d+[.\d]*(-alpine)?")


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def declared(what: str) -> set[str]:
    return {*BASE.get(what, {}), *LANGFUSE.get(what, {})}


def environment() -> dict[str, str]:
    """Answerbox's, with both files, and something in the place of each variable."""
    both = {**OURS["environment"], **LANGFUSE["services"]["answerbox"]["environment"]}
    return {name: BY_REFERENCE.sub("x", value) for name, value in both.items()}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_bounded_watched_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert EXACT_TAG.fullmatch(service["image"])
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "caddy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "userns_mode"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_only_caddy_listens_to_the_world(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert name == "caddy" or all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there_and_is_not_the_engine(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (FOLDER / source).resolve().is_file()
            assert mode == ["ro"]
        else:
            assert source in declared("volumes")
        assert "docker.sock" not in source + target


@pytest.mark.parametrize("name", SERVICES)
def test_networks_and_dependencies_are_declared(name: str) -> None:
    assert set(SERVICES[name]["networks"]) <= declared("networks")
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] in ("service_healthy", "service_started")
        assert other in SERVICES


@pytest.mark.parametrize("name", [*SERVICES, "answerbox with langfuse"])
def test_a_secret_has_no_default(name: str) -> None:
    service = SERVICES.get(name, LANGFUSE["services"]["answerbox"])
    given = service.get("environment", {})
    assert [key for key, value in given.items() if SECRET.search(key) and not BY_REFERENCE.search(value)] == []


def test_the_example_names_every_variable_and_no_other_and_has_no_secret() -> None:
    used = {name for file in FILES for name in re.findall(r"\$\{([A-Z_]+)", (FOLDER / file).read_text())}
    lines = [line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if "=" in line[:40]]
    named = {name.lstrip("#"): value for name, value in lines}
    assert set(named) == used | {"COMPOSE_FILE"}
    assert {name for name, value in named.items() if value} == {"COMPOSE_FILE", "LANGFUSE_URL"}


def test_answerbox_takes_its_settings_and_reaches_the_services_that_they_name() -> None:
    ours = settings(environment())
    assert ours.chroma_url == "http://chroma:8000"
    assert ours.langfuse_base_url == "http://langfuse-web:3000"
    assert "metrics" in ours.open_routes
    assert ours.langfuse_keys


def test_answerbox_has_a_read_only_system_and_the_time_to_stop() -> None:
    assert OURS["image"] == f"answerbox:{__version__}"
    assert OURS["read_only"]
    assert OURS["volumes"] == ["answerbox:/data"]
    assert OURS["tmpfs"][0].startswith("/tmp:")
    assert seconds(OURS["stop_grace_period"]) > longest_stop_s(environment())


def test_the_chroma_server_has_the_version_of_its_client() -> None:
    version = SERVICES["chroma"]["image"].partition(":")[2]
    assert f"chromadb=={version}" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_takes_its_files(tmp_path: Path) -> None:
    for volume in SERVICES["prometheus"]["volumes"][:2]:
        source, target, _ = volume.split(":")
        (tmp_path / Path(target).name).write_text((FOLDER / source).read_text())
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_and_grafana_differ_from_those_elsewhere_in_addresses_only() -> None:
    here, there = read_yaml(FOLDER / "prometheus.yml"), read_yaml(DEPLOY / "prometheus" / "prometheus.yml")
    assert here["scrape_configs"][0].pop("static_configs") == [{"targets": ["answerbox:3000"]}]
    assert there["scrape_configs"][0].pop("static_configs")
    assert here == there
    here = read_yaml(FOLDER / "datasource.yml")
    there = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")
    assert here["datasources"][0].pop("url") == "http://prometheus:9090"
    assert there["datasources"][0].pop("url")
    assert here == there


def test_the_dashboard_is_where_grafana_looks_for_it() -> None:
    provider = read_yaml(DEPLOY / "grafana" / "provisioning" / "dashboards" / "answerbox.yml")["providers"][0]
    targets = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/answerbox.json" in targets
