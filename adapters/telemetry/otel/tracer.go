//go:build !nootel

// Package otel sends traces to a collector by OTLP. What is said, asked and answered
// alike, is in none of them. A build with the tag nootel has nothing of it.
package otel

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Params is what a Tracer needs.
type Params struct {
	Endpoint string  // of the collector, such as http://127.0.0.1:4318
	Sample   float64 // the part of the traces that begin here which is kept
	Service  string  // this server's name in traces
	Version  string
	Instance string
}

// Tracer makes spans and sends them in the background; where the collector does not
// take them, they are lost. It is safe for concurrent use.
type Tracer struct {
	provider *trace.TracerProvider
	tracer   api.Tracer
}

// New makes a Tracer; it dials nothing. fault.Invalid: the endpoint is none.
func New(p Params) (*Tracer, error) {
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(p.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fault.Invalidf("telemetry.traces.endpoint", "invalid_value", "telemetry.traces.endpoint: %v", err)
	}
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(p.Sample))),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", p.Service), attribute.String("service.version", p.Version), attribute.String("service.instance.id", p.Instance))),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("agentapi")}, nil
}

// Stop sends what waits, until ctx ends.
func (t *Tracer) Stop(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last spans: %w", err)
	}
	return nil
}

// Begin begins the span of a request; parent is its traceparent header.
func (t *Tracer) Begin(parent, method string) ports.Span {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	_, span := t.tracer.Start(ctx, method, api.WithSpanKind(api.SpanKindServer), api.WithAttributes(attribute.String(requestMethod, method)))
	is := span.SpanContext()
	return ports.Span{
		Trace: is.TraceID().String(), ID: is.SpanID().String(),
		Within: func(ctx context.Context) context.Context { return outward(api.ContextWithSpan(ctx, span)) },
		End: func(to string, status int, err error) {
			if to != "" {
				span.SetName(method + " " + to)
				span.SetAttributes(attribute.String(route, to))
			}
			span.SetAttributes(attribute.Int(responseStatus, status))
			if status >= http.StatusInternalServerError {
				failed(span, err)
			}
			span.End()
		},
	}
}

// outward lets calls to others belong to the span of the context.
func outward(ctx context.Context) context.Context {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return ports.WithTraceparent(ctx, c["traceparent"])
}

// failed marks a span with the kind of an error; its text may quote what was said.
func failed(span api.Span, err error) {
	kind := fault.KindOf(err).String()
	span.SetStatus(codes.Error, kind)
	span.SetAttributes(attribute.String(errorType, kind))
}

// Watch makes spans of the calls of a database, where they belong to a request.
func (t *Tracer) Watch(of string) ports.Watch {
	return func(ctx context.Context, op string) (context.Context, func(error)) {
		if !api.SpanFromContext(ctx).IsRecording() {
			return ctx, func(error) {}
		}
		ctx, span := t.tracer.Start(ctx, of+" "+op, api.WithSpanKind(api.SpanKindClient),
			api.WithAttributes(attribute.String(system, of), attribute.String(dbOperation, op)), api.WithTimestamp(time.Now()))
		return ctx, func(err error) {
			if err != nil {
				failed(span, err)
			}
			span.End()
		}
	}
}
