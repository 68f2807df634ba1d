//go:build !nootel

package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	api "go.opentelemetry.io/otel/trace"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Agent makes a span of each run of an agent that belongs to a trace.
func (t *Tracer) Agent(name, driver string, inner ports.Agent) ports.Agent {
	who := providers[driver]
	if who == "" {
		who = driver
	}
	a := &traced{Agent: inner, t: t, name: name, provider: who, operation: operationOf(driver)}
	if is, ok := inner.(server); ok {
		host, port := is.Server()
		a.server = []attribute.KeyValue{attribute.String(serverAddress, host), attribute.Int(serverPort, port)}
	}
	return a
}

// server is an agent that asks one host.
type server interface {
	Server() (host string, port int)
}

type traced struct {
	ports.Agent
	t                         *Tracer
	name, provider, operation string
	server                    []attribute.KeyValue // where the model is, if that is known
}

// Unwrap gives the agent itself.
func (a *traced) Unwrap() ports.Agent { return a.Agent }

// Run runs the agent.
func (a *traced) Run(ctx context.Context, task agent.Task) ports.Events {
	if !api.SpanFromContext(ctx).IsRecording() {
		return a.Agent.Run(ctx, task)
	}
	return func(yield func(chat.Event, error) bool) {
		name := a.operation + " " + task.Model
		if a.operation == "invoke_agent" {
			name = a.operation + " " + a.name
		}
		began := time.Now()
		ctx, span := a.t.tracer.Start(ctx, name, api.WithSpanKind(api.SpanKindClient), api.WithAttributes(a.asked(task)...))
		defer span.End()
		var (
			spoken  bool
			reasons []string
			over    bool
		)
		for e, err := range a.Agent.Run(outward(ctx), task) {
			switch {
			case err != nil:
				failed(span, err)
				over = true
			case !spoken && e.Kind.Content():
				spoken = true
				span.SetAttributes(attribute.Float64(firstChunk, time.Since(began).Seconds()))
			}
			switch e.Kind {
			case chat.Used:
				span.SetAttributes(spent(e.Usage)...)
			case chat.Stopped:
				reasons = append(reasons, string(e.Reason))
			case chat.Finished:
				span.SetAttributes(attribute.StringSlice(finishReasons, reasons))
				over = true
			}
			if !yield(e, err) {
				break
			}
		}
		if !over {
			failed(span, fault.New(fault.Canceled, "The consumer left."))
		}
	}
}

// asked is what a task asks for, without what it says.
func (a *traced) asked(task agent.Task) []attribute.KeyValue {
	out := []attribute.KeyValue{
		attribute.String(operation, a.operation), attribute.String(provider, a.provider), attribute.String(agentName, a.name),
		attribute.String(requestModel, task.Model), attribute.Bool(requestStream, task.Request.Stream), attribute.String(conversation, task.Session.ID),
	}
	out = append(out, a.server...)
	if n := task.Request.MaxTokens; n > 0 {
		out = append(out, attribute.Int(maxTokens, n))
	}
	s := task.Request.Sampling()
	if s.Temperature != nil {
		out = append(out, attribute.Float64(temperature, *s.Temperature))
	}
	if s.TopP != nil {
		out = append(out, attribute.Float64(topP, *s.TopP))
	}
	if s.Seed != nil {
		out = append(out, attribute.Int64(seed, *s.Seed))
	}
	return out
}

func spent(u *chat.Usage) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int(inputTokens, u.Prompt), attribute.Int(outputTokens, u.Completion),
		attribute.Int(cachedTokens, u.Cached), attribute.Int(thoughtTokens, u.Reasoning),
	}
}
