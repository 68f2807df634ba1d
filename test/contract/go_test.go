// Package contract runs the official OpenAI SDKs, unchanged, against the server.
package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"agentapi/test/kit"
)

func client(s *kit.Server, more ...option.RequestOption) *openai.Client {
	c := openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(s.URL + "/v1"), option.WithAPIKey(kit.Token), option.WithMaxRetries(0), option.WithHTTPClient(s.Client()),
	}, more...)...)
	return &c
}

func ask(model, text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

func TestTheGoSDKChats(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	got, err := client(s).Chat.Completions.New(t.Context(), ask("demo/echo", "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].Message.Content != "hello" || got.Choices[0].FinishReason != "stop" || got.Usage.TotalTokens == 0 || got.Model != "demo/echo" || got.Created == 0 {
		t.Errorf("got %+v", got)
	}
	two := ask("demo/echo", "hello")
	two.N = openai.Int(2)
	if got, err := client(s).Chat.Completions.New(t.Context(), two); err != nil || len(got.Choices) != 2 || got.Choices[1].Index != 1 {
		t.Errorf("n=2: %+v, %v", got, err)
	}
}

func TestTheGoSDKStreamsAndAccumulates(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	p := ask("demo/story", "tell me")
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client(s).Chat.Completions.NewStreaming(t.Context(), p)
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Fatalf("the SDK cannot fold %+v", stream.Current())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if all.Choices[0].Message.Content == "" || all.Choices[0].FinishReason != "stop" || all.Usage.TotalTokens == 0 || string(all.Choices[0].Message.Role) != "assistant" {
		t.Errorf("got %+v", all.ChatCompletion)
	}
}

func TestTheGoSDKRunsTools(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	for _, streaming := range []bool{false, true} {
		p := ask("demo/tools", "what is the weather in Paris?")
		p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name: "get_weather", Parameters: openai.FunctionParameters{
				"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
			},
		})}
		var message openai.ChatCompletionMessage
		if streaming {
			stream := client(s).Chat.Completions.NewStreaming(t.Context(), p)
			var all openai.ChatCompletionAccumulator
			for stream.Next() {
				all.AddChunk(stream.Current())
			}
			if err := stream.Err(); err != nil {
				t.Fatal(err)
			}
			message = all.Choices[0].Message
		} else {
			got, err := client(s).Chat.Completions.New(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			message = got.Choices[0].Message
		}
		if len(message.ToolCalls) != 1 || message.ToolCalls[0].Function.Name != "get_weather" || !json.Valid([]byte(message.ToolCalls[0].Function.Arguments)) {
			t.Fatalf("streaming %v: got %+v", streaming, message.ToolCalls)
		}
		p.Messages = append(p.Messages, message.ToParam(), openai.ToolMessage(`{"weather":"fine"}`, message.ToolCalls[0].ID))
		got, err := client(s).Chat.Completions.New(t.Context(), p)
		if err != nil || got.Choices[0].FinishReason != "stop" || got.Choices[0].Message.Content == "" {
			t.Errorf("after the tool's result: %+v, %v", got, err)
		}
	}
}

func TestTheGoSDKGetsStructuredOutput(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	p := ask("demo/json", "a person")
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &openai.ResponseFormatJSONSchemaParam{
		JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Strict: openai.Bool(true), Schema: map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{"name", "age"},
			"properties": map[string]any{"name": map[string]any{"type": "string"}, "age": map[string]any{"type": "integer"}},
		}},
	}}
	got, err := client(s).Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var person struct {
		Name *string
		Age  *int
	}
	if err := json.Unmarshal([]byte(got.Choices[0].Message.Content), &person); err != nil || person.Name == nil || person.Age == nil {
		t.Errorf("got %s", got.Choices[0].Message.Content)
	}
}

func TestTheGoSDKsErrorsAreTyped(t *testing.T) {
	busy := kit.NewUpstream(t, "429")
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nagents:\n  demo: {driver: demo}\n  busy: {driver: openai, models: [m], openai: {base_url: %q}}\n", busy.URL)})
	for name, c := range map[string]struct {
		client *openai.Client
		params openai.ChatCompletionNewParams
		status int
		code   string
		param  string
	}{
		"a wrong key":     {client(s, option.WithAPIKey("sk-wrong")), ask("demo/echo", "x"), 401, "invalid_api_key", ""},
		"no such model":   {client(s), ask("demo/nope", "x"), 404, "model_not_found", "model"},
		"no message":      {client(s), openai.ChatCompletionNewParams{Model: "demo/echo"}, 400, "missing_required_parameter", "messages"},
		"a busy upstream": {client(s), ask("busy/m", "x"), 429, "rate_limit_exceeded", ""},
	} {
		_, err := c.client.Chat.Completions.New(t.Context(), c.params)
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != c.status || e.Code != c.code || e.Param != c.param || e.Message == "" {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if id := e.Response.Header.Get("x-request-id"); !strings.HasPrefix(id, "req_") {
			t.Errorf("%s: the request id is %q", name, id)
		}
	}
	before := busy.Requests()
	if _, err := client(s, option.WithMaxRetries(1)).Chat.Completions.New(t.Context(), ask("busy/m", "x")); err == nil || busy.Requests()-before != 2 {
		t.Errorf("the SDK retried a 429 %d times", busy.Requests()-before-1)
	}
}

func TestTheGoSDKCanLeave(t *testing.T) {
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nagents:\n  up: {driver: openai, models: [m], openai: {base_url: %q}}\n", half.URL)})
	ctx, cancel := context.WithCancel(t.Context())
	stream := client(s).Chat.Completions.NewStreaming(ctx, ask("up/m", "x"))
	if !stream.Next() {
		t.Fatal(stream.Err())
	}
	cancel()
	stream.Close()
	if !half.Gone(2 * time.Second) {
		t.Error("the upstream was not told")
	}
}

func TestTheGoSDKListsAndRetrievesModels(t *testing.T) {
	up := kit.NewUpstream(t, "ok")
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nagents:\n  up: {driver: openai, models: [\"vendor/m:free\"], openai: {base_url: %q}}\nrouting: {default: [up], aliases: {fast: [\"up/vendor/m:free\"]}}\n", up.URL)})
	page, err := client(s).Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range page.Data {
		ids = append(ids, m.ID)
		got, err := client(s).Models.Get(t.Context(), m.ID)
		if err != nil || got.ID != m.ID || got.Created <= 0 || got.OwnedBy == "" || string(got.Object) != "model" {
			t.Errorf("%s: %+v, %v", m.ID, got, err)
		}
	}
	if strings.Join(ids, " ") != "fast vendor/m:free up/vendor/m:free" {
		t.Errorf("got %v", ids)
	}
}

func TestARetryWithItsKeyIsHarmless(t *testing.T) {
	up := kit.NewUpstream(t, "ok")
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: sqlite}\nagents:\n  up: {driver: openai, models: [m], openai: {base_url: %q}}\n", up.URL)})
	var first string
	for i := range 3 {
		var header *http.Response
		got, err := client(s).Chat.Completions.New(t.Context(), ask("up/m", "once"), option.WithHeader("Idempotency-Key", "k"), option.WithResponseInto(&header))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = got.ID
		}
		if got.ID != first || up.Requests() != 1 || (header.Header.Get("Idempotent-Replayed") == "true") != (i > 0) {
			t.Errorf("try %d: id %s, %d requests", i, got.ID, up.Requests())
		}
	}
	_, err := client(s).Chat.Completions.New(t.Context(), ask("up/m", "other"), option.WithHeader("Idempotency-Key", "k"))
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != 422 || e.Code != "idempotency_key_reuse" {
		t.Errorf("another body: %v", err)
	}
}
