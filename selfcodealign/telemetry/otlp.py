"""A collector of the user's that speaks OTLP over HTTP gets the figures, too; nothing is sent unless one is named.

The figures are sent by a thread that the run never waits for: where the collector is slow, it gets fewer of them, and
where it cannot be reached, the run is told once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from selfcodealign.addresses import hide_address, hide_secrets
from selfcodealign.errors import MissingExtra
from selfcodealign.telemetry.figures import FIGURES, Figure, Reading

#: Seconds after which a collector that does not answer counts as unreachable.
ANSWER_SECONDS = 5.0
#: Units as OpenTelemetry writes them (UCUM); the others in braces.
_UNITS = {"s": "s", "bytes": "By", "share": "1", "0 or 1": "1"}
_LOGGER = "opentelemetry.exporter.otlp"


def check_packages() -> None:
    """Raise `MissingExtra` where the packages that send figures are not installed."""
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk.metrics")
    except ModuleNotFoundError:
        found = None
    if not found:
        raise MissingExtra("telemetry.otlp", "otel")


def metrics_address(address: str) -> str:
    """The address that metrics are sent to: that of a collector alone gets the usual path.

    >>> metrics_address("http://collector:4318"), metrics_address("https://host/otlp/v1/metrics")
    ('http://collector:4318/v1/metrics', 'https://host/otlp/v1/metrics')
    """
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path="/v1/metrics")) if parts.path in ("", "/") else address


class Collector:
    """Sends readings to `address`; `of` are the attributes of all of them. Raises `MissingExtra`.

    Keys belong into OTEL_EXPORTER_OTLP_HEADERS, which the exporter reads.
    """

    def __init__(self, address: str, of: Mapping[str, str]) -> None:
        check_packages()
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
        from opentelemetry.sdk.resources import Resource

        #: Why the last reading was not taken; "" if it was.
        self.problem = ""
        self._shown = hide_address(address)
        self._said = _LastWords(_LOGGER)
        self._exporter = OTLPMetricExporter(endpoint=metrics_address(address), timeout=ANSWER_SECONDS)
        self._taken = MetricExportResult.SUCCESS
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider([self._reader], Resource.create(dict(of)), shutdown_on_exit=False)
        self._reading = Reading()
        meter = self._provider.get_meter("selfcodealign")
        for figure in FIGURES.values():
            make = meter.create_observable_counter if figure.total else meter.create_observable_gauge
            unit = _UNITS.get(figure.unit, f"{{{figure.unit}}}")
            make(f"selfcodealign.{figure.plain}", [self._observer(figure)], unit, figure.meaning)
        self._wake, self._closing = threading.Event(), False
        self._thread = threading.Thread(target=self._keep_sending, name="telemetry", daemon=True)
        self._thread.start()

    def offer(self, reading: Reading) -> None:
        """Have this reading sent soon, unless the one before is still on its way; returns at once."""
        self._reading = reading
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Wait for the last reading, at most so long, and end."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds if not self.problem else 0.0)
        self._exporter.shutdown()  # which ends further tries
        self._provider.shutdown()
        self._said.close()

    def _observer(self, figure: Figure) -> Callable[[Any], Iterable[Any]]:
        from opentelemetry.metrics import Observation

        def observe(options: Any) -> Iterable[Any]:
            return [Observation(value, of) for of, value in self._reading.of(figure.name)]

        return observe

    def _keep_sending(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing
            data = self._reader.get_metrics_data()
            if data is not None:
                taken = self._exporter.export(data) is self._taken
                self.problem = "" if taken else hide_secrets(f"{self._shown}: {self._said.text or 'no answer'}")
            if closing:
                return


class _LastWords(logging.Handler):
    """Keeps the last warning of a library, which would otherwise write it to the terminal at each try."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self._logger = logging.getLogger(name)
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage().splitlines()[0][:200]

    def close(self) -> None:
        self._logger.propagate = self._propagated
        self._logger.removeHandler(self)
        super().close()
