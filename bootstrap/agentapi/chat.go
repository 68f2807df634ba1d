package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func chatCommand() *cobra.Command {
	var model string
	c := &cobra.Command{
		Use: "chat [prompt]", Short: "Talk to a running server",
		Long: "Talk to a running server: on a terminal line by line, in a pipe as a filter.\n\n" +
			"  agentapi chat                       a conversation\n" +
			"  agentapi chat \"why is the sky blue\"  one question\n" +
			"  git diff | agentapi chat review     the input after the prompt\n\n" +
			"It talks to the server of --context, else of AGENTAPI_URL and AGENTAPI_TOKEN, else of the current context, else to\n" +
			"this machine's, which it finds by the data folder.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, model)
			if err != nil {
				return err
			}
			prompt := strings.Join(args, " ")
			in, interactive := c.InOrStdin(), false
			if f, ok := in.(*os.File); ok {
				interactive = isTerminal(f)
			}
			if interactive && prompt == "" {
				return cl.converse(c.Context(), in, c.OutOrStdout(), c.ErrOrStderr())
			}
			if !interactive {
				piped, err := io.ReadAll(in)
				if err != nil {
					return &exit{code: exitError, err: err}
				}
				prompt = strings.TrimSpace(prompt + "\n\n" + string(piped))
			}
			if prompt == "" {
				return &exit{code: exitUsage, err: errors.New("there is nothing to say"), fix: "give a prompt, or pipe one in"}
			}
			_, err = cl.say(c.Context(), []message{{"user", prompt}}, c.OutOrStdout())
			return err
		},
	}
	c.Flags().StringVarP(&model, "model", "m", "", "the model to talk to; the server's first if absent")
	return c
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// converse reads lines and answers each, with all that was said before.
func (cl *client) converse(ctx context.Context, in io.Reader, out, notes io.Writer) error {
	if cl.model == "" {
		if err := cl.choose(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(notes, "Talking to %s at %s. An empty line or Ctrl-D ends.\n", cl.model, cl.url)
	var said []message
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for {
		fmt.Fprint(notes, "> ")
		if !lines.Scan() || strings.TrimSpace(lines.Text()) == "" {
			fmt.Fprintln(notes)
			return lines.Err()
		}
		asked := append(said, message{"user", lines.Text()})
		answer, err := cl.say(ctx, asked, out)
		if ctx.Err() != nil {
			return &exit{code: exitInterrupt, err: ctx.Err()}
		}
		if err != nil {
			fmt.Fprintf(notes, "agentapi: %v\n", err)
			continue // the question is forgotten, the conversation goes on
		}
		said = append(asked, message{"assistant", answer})
	}
}

// say sends the conversation and writes the answer as it comes.
func (cl *client) say(ctx context.Context, said []message, out io.Writer) (string, error) {
	if cl.model == "" {
		if err := cl.choose(ctx); err != nil {
			return "", err
		}
	}
	body, err := json.Marshal(map[string]any{"model": cl.model, "stream": true, "messages": said})
	if err != nil {
		return "", &exit{code: exitError, err: err}
	}
	resp, err := cl.do(ctx, http.MethodPost, "/v1/chat/completions", body)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer strings.Builder
	events := bufio.NewReader(resp.Body)
	for {
		line, err := events.ReadBytes('\n')
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		switch {
		case ok && string(data) == "[DONE]":
			fmt.Fprintln(out)
			return answer.String(), nil
		case ok:
			var chunk struct {
				Choices []struct{ Delta struct{ Content string } }
				Error   *struct{ Message string }
			}
			if err := json.Unmarshal(data, &chunk); err != nil {
				return "", &exit{code: exitError, err: fmt.Errorf("the server sent what is no event: %w", err)}
			}
			if chunk.Error != nil {
				fmt.Fprintln(out)
				return "", &exit{code: exitError, err: errors.New(chunk.Error.Message)}
			}
			for _, choice := range chunk.Choices {
				answer.WriteString(choice.Delta.Content)
				fmt.Fprint(out, choice.Delta.Content)
			}
		}
		if err != nil {
			return "", &exit{code: exitError, err: errors.New("the answer was cut off")}
		}
	}
}

// choose takes the first model that the server lists.
func (cl *client) choose(ctx context.Context) error {
	resp, err := cl.do(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var list struct{ Data []struct{ ID string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Data) == 0 {
		return &exit{code: exitError, err: errors.New("the server lists no models"), fix: "name one with --model"}
	}
	cl.model = list.Data[0].ID
	return nil
}
