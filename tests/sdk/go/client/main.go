// Takes the command line every client program of the matrix has. Gives one JSON line for each step of a script.
// Never prints what differs from run to run: no times, no ids, no ports.
//
//	client --transport stdio|http|sse --era legacy|modern --traceparent T --script JSON (--url URL | -- COMMAND ARG...)
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How long reports of progress may take to arrive: this SDK hands them over beside the answer, not before it.
const patience = time.Minute

type step struct {
	Do        string
	Name      string
	URI       string
	Arguments map[string]any
}

func (step step) title() string {
	return strings.TrimSpace(step.Do + " " + step.Name + step.URI)
}

type line struct {
	Step     string  `json:"step"`
	Server   string  `json:"server,omitempty"`
	Version  string  `json:"version,omitempty"`
	Result   any     `json:"result,omitempty"`
	Error    any     `json:"error,omitempty"`
	Progress [][]any `json:"progress,omitempty"`
}

func (line line) say() error {
	return json.NewEncoder(os.Stdout).Encode(line)
}

// withHeader adds the context to every HTTP request.
type withHeader string

func (traceparent withHeader) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("traceparent", string(traceparent))
	return http.DefaultTransport.RoundTrip(request)
}

func transport(kind, url, traceparent string, command []string) mcp.Transport {
	client := &http.Client{Transport: withHeader(traceparent)}
	switch kind {
	case "stdio":
		server := exec.Command(command[0], command[1:]...)
		server.Env = append(os.Environ(), "TRACEPARENT="+traceparent)
		server.Stderr = os.Stderr
		return &mcp.CommandTransport{Command: server}
	case "sse":
		return &mcp.SSEClientTransport{Endpoint: url, HTTPClient: client}
	}
	return &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: client}
}

type runner struct {
	session     *mcp.ClientSession
	traceparent string
	reports     chan []any
}

func (runner *runner) do(ctx context.Context, step step) (any, error) {
	meta := mcp.Meta{"traceparent": runner.traceparent}
	switch step.Do {
	case "tools":
		return runner.session.ListTools(ctx, &mcp.ListToolsParams{Meta: meta})
	case "resource":
		return runner.session.ReadResource(ctx, &mcp.ReadResourceParams{Meta: meta, URI: step.URI})
	case "prompt":
		arguments := map[string]string{}
		for name, value := range step.Arguments {
			arguments[name] = fmt.Sprint(value)
		}
		return runner.session.GetPrompt(ctx, &mcp.GetPromptParams{Meta: meta, Name: step.Name, Arguments: arguments})
	}
	params := &mcp.CallToolParams{Meta: meta, Name: step.Name, Arguments: step.Arguments}
	params.SetProgressToken(step.Name)
	return runner.session.CallTool(ctx, params)
}

// Waits for as many reports as the step asked for.
func (runner *runner) progress(step step) (reports [][]any, err error) {
	wanted, _ := step.Arguments["n"].(float64)
	for len(reports) < int(wanted) {
		select {
		case report := <-runner.reports:
			reports = append(reports, report)
		case <-time.After(patience):
			return reports, fmt.Errorf("%d reports of progress", len(reports))
		}
	}
	return reports, nil
}

func (runner *runner) run(ctx context.Context, step step) error {
	result, err := runner.do(ctx, step)
	var refused *jsonrpc.Error
	if errors.As(err, &refused) {
		return line{Step: step.title(), Error: refused}.say()
	}
	if err != nil {
		return err
	}
	reports, err := runner.progress(step)
	if err != nil {
		return err
	}
	return line{Step: step.title(), Result: result, Progress: reports}.say()
}

func answer(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"colour": "blue"}}, nil
}

func run() error {
	kind := flag.String("transport", "", "stdio, http or sse")
	era := flag.String("era", "", "legacy or modern")
	traceparent := flag.String("traceparent", "", "the client's own span")
	script := flag.String("script", "", "a JSON array of steps")
	url := flag.String("url", "", "the server's address")
	flag.Parse()
	var steps []step
	if err := json.Unmarshal([]byte(*script), &steps); err != nil {
		return err
	}
	reports := make(chan []any, 100)
	client := mcp.NewClient(&mcp.Implementation{Name: "matrix", Version: "1.0.0"}, &mcp.ClientOptions{
		ElicitationHandler: answer,
		ProgressNotificationHandler: func(_ context.Context, report *mcp.ProgressNotificationClientRequest) {
			reports <- []any{report.Params.Progress, report.Params.Total}
		},
	})
	options := &mcp.ClientSessionOptions{}
	if *era == "legacy" {
		options.ProtocolVersion = "2025-11-25"
	}
	ctx := context.Background()
	session, err := client.Connect(ctx, transport(*kind, *url, *traceparent, flag.Args()), options)
	if err != nil {
		return err
	}
	opened := session.InitializeResult()
	if err := (line{Step: "connect", Server: opened.ServerInfo.Name, Version: opened.ProtocolVersion}).say(); err != nil {
		return err
	}
	runner := &runner{session: session, traceparent: *traceparent, reports: reports}
	for _, step := range steps {
		if err := runner.run(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step.title(), err)
		}
	}
	return session.Close()
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
