"""Runs of the side-by-side benchmark that never ran."""

from camfleet.bench.macro.runs import Case, Run


def run(
    readers: int = 400,
    cpu_us: float = 500.0,
    server: str = "camfleet",
    number: int = 0,
    *,
    tls: bool = True,
    cameras: int = 1,
    client_cores: float = 0.2,
    p99_ms: float = 12.0,
    server_limit: str = "",
    client_limit: str = "",
    disturbance: str = "",
) -> Run:
    case = Case(server, tls, cameras, readers)
    return Run(
        case,
        number,
        cpu_us=cpu_us,
        server_cores=readers * cpu_us / 1e6,
        client_cores=client_cores,
        other_cores=0.01,
        delay_p50_ms=4.0,
        delay_p99_ms=p99_ms,
        server_limit=server_limit,
        client_limit=client_limit,
        disturbance=disturbance,
    )
