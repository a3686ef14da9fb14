"""What is mutated, and the tests that must notice: the modules that decide, each group with files of tests that need no server and few seconds.

Belongs here: the lists. Not here: what survives for a reason (explained.toml), how it is run (running.py).

Left out is what decides with rows of the database, because its tests need a server and seconds for each mutant: approvals, meetings and proposals
(acceptance/), the life of experiments, rollouts and looks (experiments/lifecycle, canary, looking, finishing). So is what is held against simulations only
(experiments/sizes, planning, event_looks), what finds near-duplicates (examples/duplicates, jaccard_join, sketches: held against all pairs of real texts), and
learning itself (behavior/policy/fitting, components, material: held against data; what it is made of is here).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

PACKAGE, TESTS = "learning_pipelines", "learning_pipelines_tests"


@dataclass(frozen=True)
class Group:
    """`modules` below learning_pipelines, `tests` below learning_pipelines_tests; both without .py. `slowest`: seconds of processor time, with functions
    counted, above which a test takes no part: a mutant that only a simulation notices wants a test that says why."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    slowest: float = 1.5


def _beside(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


GROUPS = {
    "acceptance": Group(
        _beside("acceptance", "alpha", "bounded_mean", "gate", "guards", "paired", "power"),
        _beside("acceptance", "test_alpha", "test_bounded_mean", "test_gate", "test_guards", "test_paired", "test_power"),
    ),
    "sequential": Group(
        _beside(
            "experiments", "analysis", "asymptotic", "betting", "comparison", "decision", "evidence", "exact", "fixed_horizon", "longer", "multiplicity",
            "sample_ratio", "unit_sums",
        ),
        _beside(
            "experiments", "test_analysis", "test_asymptotic", "test_asymptotic_by_hand", "test_betting", "test_decision", "test_exact", "test_findings",
            "test_fixed_horizon", "test_gbstats_parity", "test_longer", "test_multiplicity", "test_sample_ratio", "test_unit_sums",
        ),
    ),
    "plans": Group(
        _beside("experiments", "metrics", "options", "plans", "refusals"),
        _beside("experiments", "test_metrics", "test_options", "test_plans", "test_refusals"),
    ),
    "splits": Group(
        (*_beside("examples", "components", "splits", "trimming"), "behavior/demonstration_splits", "experiments/assignment"),
        (
            *_beside("examples", "test_components", "test_splits", "test_stratification", "test_trimming"), "behavior/test_demonstration_clusters",
            "experiments/test_assignment",
        ),
        0.3,
    ),
    "policies": Group(
        (
            *_beside("behavior/policy", "baselines", "calibration", "evaluation", "mixture", "policy", "transitions", "vocabulary"), "behavior/policy_gate",
        ),
        _beside("behavior", "test_policy", "test_policy_by_hand", "test_policy_calibration", "test_policy_components", "test_policy_scores"),
    ),
    "suggestions": Group(
        _beside("behavior/policy", "arguments", "classifier", "neighbours", "situations"),
        _beside(
            "behavior", "test_policy_arguments", "test_policy_classifier", "test_policy_components", "test_policy_neighbours", "test_policy_sources",
            "test_policy_texts",
        ),
    ),
}  # fmt: skip


def chosen(asked: list[str]) -> dict[str, Group]:
    """The groups that are asked for by name, or those parts of them whose modules' paths hold one of the words; all without a word.

    Raises ValueError for a word that nothing answers to."""
    found: dict[str, Group] = {}
    for word in asked or list(GROUPS):
        named = {
            name: replace(group, modules=tuple(module for module in group.modules if word == name or word in module))
            for name, group in GROUPS.items()
            if word == name or any(word in module for module in group.modules)
        }
        if not named:
            raise ValueError(f"Nothing that is mutated is called {word}; there are {', '.join(GROUPS)} and modules of them such as acceptance/gate.")
        for name, group in named.items():
            before = found[name].modules if name in found else ()
            found[name] = replace(group, modules=tuple(dict.fromkeys((*before, *group.modules))))
    return found
