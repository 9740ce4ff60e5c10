"""What a backbone and its gates cost, site by site: no data, no training, and tensors of shapes alone."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from agent.policies.gate import GateNetwork
from backbone import BACKBONES, FusionBackbone, create_cnn, load_backbone
from backbone.common.naming import did_you_mean
from experiments.config import Describe
from experiments.machine import import_plugins
from experiments.methods import gate_options

SOMETHING = 174  # classes of Something-Something V1 and V2
OF_THE_WEIGHTS = ("num_classes", "size", "temporal", "consensus", "lstm_hidden")  # a saved backbone knows them itself
LOOK: dict[str, Any] = {
    "box": box.SIMPLE_HEAD,
    "show_edge": False,
    "pad_edge": False,
    "collapse_padding": True,
}  # of a table
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9}
SMALL = 100_000_000  # MACs per frame below which figures are printed in units a thousand times smaller
NARROWEST = 80  # columns; a smaller terminal breaks the lines itself, so that no number is cut short


def run(config: Describe) -> None:
    """Print the figures of ``count`` as tables, or as JSON alone."""
    with redirect_stdout(sys.stderr):  # a plugin may print
        facts = count(config)
    if config.json:
        print(json.dumps(facts, indent=2))
    else:
        show(facts, Console(width=max(Console().width, NARROWEST)))


def count(config: Describe) -> dict[str, Any]:
    """Everything that is known of a backbone and its gates before they are trained, as JSON.

    MACs are per frame. ``controlled_macs`` are those of layers that write or read a site, ``fixed_macs`` those of all
    others; ``cost_all_use`` and ``cost_all_skip`` are shares of ``dense_macs``, the gates included: every policy's cost
    lies between them. Parameters are of what runs: with an LSTM the CNN's own classifier does not.

    :raises ValueError: an unknown architecture, site or option, or a file that is no
        backbone of ours
    """
    import_plugins(config.plugin)
    options = gate_options(config)
    backbone, architecture = open_backbone(config)
    with torch.device("meta"):
        gates = GateNetwork(backbone.sites, options)
    sites = list_sites(backbone, gates)
    layers, modules = backbone.ledger.layers, dict(backbone.cnn.named_modules())
    dense_macs, gate_macs = backbone.ledger.dense_macs, sum(gates.macs)
    convolution_macs = sum(layer.macs for layer in layers if isinstance(modules.get(layer.name), nn.Conv2d))
    fixed_macs = sum(backbone.ledger.fixed_macs)
    idle = backbone.cnn.classifier if backbone.consensus.layers() else None  # the consensus has one of its own
    backbone_parameters = _parameters(backbone) - (0 if idle is None else _parameters(idle))
    gate_parameters = _parameters(gates)
    return {
        "architecture": architecture,
        "num_classes": backbone.num_classes,
        "size": backbone.cnn.size,
        "num_frames": config.num_frames,
        **backbone.options,
        "gate": {name: value for name, value in asdict(options).items() if name not in ("static", "reuse")},
        "dense_macs": dense_macs,
        "convolution_macs": convolution_macs,
        "linear_macs": dense_macs - convolution_macs,
        "controlled_macs": dense_macs - fixed_macs,
        "fixed_macs": fixed_macs,
        "gate_macs": gate_macs,
        "cost_all_use": 1 + gate_macs / dense_macs,
        "cost_all_skip": (fixed_macs + gate_macs) / dense_macs,
        "parameters": backbone_parameters + gate_parameters,
        "backbone_parameters": backbone_parameters,
        "gate_parameters": gate_parameters,
        "sites": sites,
        "between_sites": [layer.name for layer in layers if None not in (layer.reads, layer.writes)],
    }


def open_backbone(config: Describe) -> tuple[FusionBackbone, str]:
    """The backbone on the meta device, where tensors have shapes alone; and its architecture.

    :raises ValueError: neither a registered name nor a saved backbone, or options that contradict the saved one
    """
    chosen: dict[str, Any] = {"sites": config.sites, "history": config.history, "temporal": config.temporal}
    chosen |= {"consensus": config.consensus, "lstm_hidden": config.lstm_hidden}
    chosen = {name: value for name, value in chosen.items() if value not in (None, ())}
    if config.architecture in BACKBONES:
        size = {} if config.size is None else {"size": config.size}
        with torch.device("meta"):
            cnn = create_cnn(config.architecture, num_classes=config.num_classes or SOMETHING, **size)
            backbone = FusionBackbone(cnn, group_size=config.group_size, **chosen)
        return backbone.to("meta").eval(), config.architecture  # "to": a CNN may have brought weights that it loads
    if not Path(config.architecture).is_file():
        raise ValueError(
            f"expected a backbone among {', '.join(sorted(BACKBONES))}, or the file of a saved one; got "
            f"{config.architecture!r} (one of your own is registered by a module named with --plugin){did_you_mean(config.architecture, BACKBONES)}"
        )
    if given := [name for name in OF_THE_WEIGHTS if getattr(config, name) is not None]:
        raise ValueError(
            f"expected no --{given[0].replace('_', '-')} beside a saved backbone, whose weights settle it: leave it out, "
            "or name an architecture in place of the file"
        )
    backbone, saved = load_backbone(Path(config.architecture), group_size=config.group_size, **chosen)
    return backbone.to("meta"), saved["architecture"]


@torch.no_grad()
def list_sites(backbone: FusionBackbone, gates: GateNetwork) -> list[dict[str, Any]]:
    """Each site with the size of its block's input, and MACs per frame of the layers that write it, that read it, and
    of its gate. A layer that reads one site and writes another counts at both.
    """
    layers, sites = backbone.ledger.layers, []
    state = backbone.begin(torch.empty(1, 1, 3, backbone.cnn.size, backbone.cnn.size, device="meta"), last=True)
    for site in backbone.sites:
        facts = {name: value for name, value in asdict(site).items() if name != "group_size"}
        facts["height"], facts["width"] = state.x.shape[-2:]
        facts["upstream_macs"] = sum(layer.macs for layer in layers if layer.writes == site.index)
        facts["downstream_macs"] = sum(layer.macs for layer in layers if layer.reads == site.index)
        facts["gate_macs"] = gates.macs[site.index]
        sites.append(facts)
        state = backbone.advance(state, backbone.all_use(backbone.observe(state)))
    return sites


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what ``count`` found: a table of the sites, one of the totals, the parameters."""
    small, gate, between = facts["dense_macs"] < SMALL, facts["gate"], facts["between_sites"]
    consensus = f"LSTM of {facts['lstm_hidden']}" if facts["consensus"] == "lstm" else "mean of frames"
    units = gate["hidden"] if gate["quota"] is None else f"{gate['quota']} / D"
    backbone, gates, total = (
        f"{facts[name] / 1e6:.4f}M" for name in ("backbone_parameters", "gate_parameters", "parameters")
    )
    parts = [
        f"{facts['architecture']}: {facts['num_classes']} classes, {facts['size']} x {facts['size']} pixels, "
        f"{facts['temporal']}, {consensus}, {facts['history']} history",
        f"gates: {units} hidden units, {gate['norm']} norm{', shared' * gate['shared']}; a site's D decisions steer its C "
        "channels, which upstream layers compute and downstream layers read. MACs are per frame.\n",
        _table_of_sites(facts, "k" if small else "M"),
        "",
    ]
    if between:
        parts.append(
            f"{len(between)} of these layers read one site and write another ({between[0]}{', ...' * (len(between) > 1)}): "
            "each stands in both columns, and costs the product of the shares that live at its two ends.\n"
        )
    parts.append(_table_of_totals(facts, "M" if small else "G"))
    parts.append(f"\nparameters: {backbone} of the backbone + {gates} of the gates = {total}")
    for part in parts:
        console.print(part, highlight=False, markup=False)


def _table_of_sites(facts: dict[str, Any], prefix: str) -> Table:
    """A row per site; the last one sums up."""
    sites = facts["sites"]
    macs = [[site[f"{kind}_macs"] / UNITS[prefix] for site in sites] for kind in ("upstream", "downstream", "gate")]
    table = Table(**LOOK, show_footer=True, footer_style="bold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("site", f"{len(sites)} sites", overflow="fold")
    table.add_column("input\nCxHxW", justify="right", no_wrap=True)
    table.add_column("C", str(sum(site["channels"] for site in sites)), justify="right", no_wrap=True)
    table.add_column("D", str(sum(site["decisions"] for site in sites)), justify="right", no_wrap=True)
    for name, column in zip(("upstream", "downstream", "gate"), macs):
        table.add_column(f"{name}\n{prefix}MACs", f"{sum(column):.3f}", justify="right", no_wrap=True)
    for site, *figures in zip(sites, *macs):
        table.add_row(
            str(site["index"]),
            site["name"],
            f"{site['in_channels']}x{site['height']}x{site['width']}",
            str(site["channels"]),
            str(site["decisions"]),
            *(f"{figure:.3f}" for figure in figures),
        )
    return table


def _table_of_totals(facts: dict[str, Any], prefix: str) -> Table:
    """MACs per frame and per clip, and as a share of the dense CNN's."""
    dense, gates, fixed = facts["dense_macs"], facts["gate_macs"], facts["fixed_macs"]
    rows = {
        "dense CNN": dense,
        "  convolutions": facts["convolution_macs"],
        "  linear layers" + " and LSTM" * (facts["consensus"] == "lstm"): facts["linear_macs"],
        "  controlled by sites": facts["controlled_macs"],
        "  always computed": fixed,
        "gates": gates,
        "all used, with gates": dense + gates,
        "all skipped, with gates": fixed + gates,
    }
    table = Table(**LOOK)
    table.add_column("", no_wrap=True)
    for header in (f"a frame\n{prefix}MACs", f"{facts['num_frames']} frames\n{prefix}MACs", "share\nof dense"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, macs in rows.items():
        counts = (f"{count / UNITS[prefix]:.6f}" for count in (macs, facts["num_frames"] * macs))
        table.add_row(name, *counts, f"{macs / dense:.4f}", style=None if name.startswith(" ") else "bold")
    return table
