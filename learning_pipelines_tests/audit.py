"""`make audit`: known vulnerabilities of what is installed, and an honest word where nobody could be asked about it.

    python -m learning_pipelines_tests.audit .venv-audit/bin/pip-audit

Belongs here: reading pip-audit's answer. Not here: bandit and detect-secrets (Makefile), what they leave out and why (pyproject.toml, .secrets.baseline).
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig

OWN = {"learning-pipelines"}
UNKNOWN_ALLOWED = 3
"""Builds of packages that the index of advisories does not know by their version, such as torch's for CPUs."""


def judged(answer: dict[str, object]) -> tuple[int, list[str], list[str]]:
    """(packages asked about, vulnerable ones in words, those nobody could be asked about) of pip-audit's JSON."""
    packages = [one for one in answer["dependencies"] if one["name"] not in OWN]  # type: ignore[attr-defined]
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    vulnerable = [
        f"{one['name']} {one['version']}: {', '.join(found['id'] for found in one['vulns'])}; mended in {one['vulns'][0]['fix_versions'] or 'no version yet'}"
        for one in packages if one.get("vulns")
    ]  # fmt: skip
    return len(packages) - len(unknown), vulnerable, unknown


def main(program: str) -> int:
    installed = sysconfig.get_paths()["purelib"]
    command = [program, "--progress-spinner", "off", "--skip-editable", "--format", "json", "--path", installed]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if not answer.stdout.strip():
        print(f"pip-audit did not answer: {(answer.stderr.strip().splitlines() or ['?'])[-1]}")
        return 1
    asked, vulnerable, unknown = judged(json.loads(answer.stdout))
    print(f"{asked} packages asked about, {len(vulnerable)} with known vulnerabilities, {len(unknown)} not known to the index of advisories")
    for line in vulnerable:
        print(f"  {line}")
    if len(unknown) > UNKNOWN_ALLOWED:
        print("Not audited: the index could not be reached from here. Run this where pypi.org answers.")
    return int(bool(vulnerable) or len(unknown) > UNKNOWN_ALLOWED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
