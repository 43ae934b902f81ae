"""Connection to a Ray cluster."""

from __future__ import annotations

import logging
import re
import socket

from triform.base.errors import UserError

# In seconds; Ray itself tries for minutes before it fails.
_CONNECT_TIMEOUT = 10.0


def join_cluster(address: str) -> int:
    """Connect to a Ray cluster and make it joblib's backend "ray".

    Args:
        address: "host:port", "ray://host:port", or "auto" for the cluster of this machine.

    Returns:
        Its number of cores.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise UserError("--cluster needs the package ray: pip install 'triform[cluster]'") from None
    try:
        if not ray.is_initialized():
            if match := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
                host, port = match.groups()
                socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT).close()
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, OverflowError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--cluster {address}: no Ray cluster answers there "
            f"({' '.join(str(error).split())[:120]}); start one with `ray start --head`"
        ) from None
    # It warns of an argument that joblib always passes.
    logging.getLogger("ray.util.multiprocessing.pool").setLevel(logging.CRITICAL)
    register_ray()  # type: ignore[no-untyped-call]
    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
