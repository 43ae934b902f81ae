"""Checks of `triform doctor` that need torch: processor, GPUs, correct bf16 gradients."""

import torch

from triform.engine.device import describe_device, has_fast_bf16, processor_name
from triform.engine.diagnostics.findings import Finding, finding
from triform.engine.diagnostics.gradient_check import check_gradients


def check_processor() -> list[Finding]:
    """Precision that the processor supports, and whether its bf16 gradients are correct."""
    device = torch.device("cpu")
    fast = has_fast_bf16(device)
    precision = "bf16 in hardware" if fast else "no bf16 in hardware: auto means float32"
    findings = [
        finding(
            "processor", "ok", f"{processor_name()}, {torch.get_num_threads()} threads, {precision}"
        )
    ]
    return findings + _gradient_findings(device)


def check_gpus() -> list[Finding]:
    """The GPUs that torch sees."""
    if not torch.cuda.is_available():
        return [finding("gpu", "ok", "none; everything runs on the processor")]
    findings = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        findings += [finding(f"gpu {index}", "ok", describe_device(device))]
        findings += _gradient_findings(device)
    return findings


def _gradient_findings(device: torch.device) -> list[Finding]:
    """Findings of the check of bf16 gradients."""
    findings = []
    for check in check_gradients(device):
        side = check.map_size
        findings.append(
            finding(
                f"bf16 gradient of a 3D convolution on {side}x{side}x{side}, {device}",
                "ok" if check.is_correct else "warning",
                f"{check.error:.2g} off float32",
                ""
                if check.is_correct
                else "wrong on this machine; Triform's own networks keep such layers in float32, "
                "for yours use torch.autocast(..., enabled=False) or --precision float32",
            )
        )
    return findings
