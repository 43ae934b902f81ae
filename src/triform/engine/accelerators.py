"""What `triform doctor` asks of torch: processor, GPUs, and whether their gradients are right."""

import torch

from triform.engine.device import describe_device, has_fast_bf16, processor_name
from triform.engine.doctor import Finding, finding
from triform.engine.selfcheck import check_gradients


def check_processor() -> list[Finding]:
    """Number formats of the processor, and whether bf16 gradients are right."""
    device = torch.device("cpu")
    fast = has_fast_bf16(device)
    precision = "bf16 in hardware" if fast else "no bf16 in hardware: auto means float32"
    findings = [
        finding(
            "processor",
            "ok",
            f"{processor_name()}, {torch.get_num_threads()} threads, {precision}",
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
    """The bf16 self-check as findings."""
    findings = []
    for check in check_gradients(device):
        side = check.map_size
        findings.append(
            finding(
                f"bf16 gradient of a 3D convolution on {side}x{side}x{side}, {device}",
                "ok" if check.is_right else "warning",
                f"{check.error:.2g} off float32",
                ""
                if check.is_right
                else "wrong on this machine; Triform's own networks keep such layers in float32, "
                "for yours use torch.autocast(..., enabled=False) or --precision float32",
            )
        )
    return findings
