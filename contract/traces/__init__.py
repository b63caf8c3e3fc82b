"""One unit's life, step by step, for whoever has a collector of OpenTelemetry traces (docs/how-to/traces.md).

Off, and not even imported, unless OTEL_EXPORTER_OTLP_ENDPOINT names one.
"""

from contract.traces.lives import Life, Traces, open_traces

__all__ = ["Life", "Traces", "open_traces"]
