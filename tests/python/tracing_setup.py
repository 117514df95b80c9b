"""Takes the standard OTEL_* variables. Gives a tracer provider that exports to the endpoint they name.

Never starts anything when OTEL_EXPORTER_OTLP_ENDPOINT is unset: then the SDK's no-op tracer stays.
"""

import os

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def start_tracing(service_name, processors=()):
    """Set the global tracer provider. Gives it back, or None when nothing asks for spans."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and not processors:
        return None
    # Attributes of OTEL_RESOURCE_ATTRIBUTES (the tenant, for one) are merged in by `create`.
    provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
    for processor in processors:
        provider.add_span_processor(processor)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider.add_span_processor(BatchSpanProcessor(_exporter(), schedule_delay_millis=200))
    trace.set_tracer_provider(provider)
    return provider


def _exporter():
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter()
