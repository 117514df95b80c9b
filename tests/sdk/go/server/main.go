// Takes the command line every server program of the matrix has. Gives the matrix's server on the Go SDK.
// Never outlives its input: an HTTP server ends when standard input closes.
//
//	server stdio
//	server http|sse --port-file FILE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type none struct{}

type request = mcp.CallToolRequest

func said(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func tool[In any](server *mcp.Server, name, description string, answer func(context.Context, *request, In) (*mcp.CallToolResult, error)) {
	described := &mcp.Tool{Name: name, Description: description}
	mcp.AddTool(server, described, func(ctx context.Context, call *request, in In) (*mcp.CallToolResult, any, error) {
		result, err := answer(ctx, call, in)
		return result, nil, err
	})
}

type text struct {
	Text string `json:"text"`
}

type numbers struct {
	A int `json:"a"`
	B int `json:"b"`
}

type message struct {
	Message string `json:"message"`
}

type count struct {
	N int `json:"n"`
}

func reportProgress(ctx context.Context, call *request, in count) (*mcp.CallToolResult, error) {
	for done := 1; done <= in.N; done++ {
		err := call.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
			ProgressToken: call.Params.GetProgressToken(), Progress: float64(done), Total: float64(in.N),
		})
		if err != nil {
			return nil, err
		}
	}
	return said(fmt.Sprintf("reported %d", in.N)), nil
}

func trace(_ context.Context, call *request, _ none) (*mcp.CallToolResult, error) {
	seen := map[string]any{"meta": call.Params.Meta["traceparent"], "state": call.Params.Meta["tracestate"], "header": nil}
	if extra := call.Extra; extra != nil && extra.Header.Get("traceparent") != "" {
		seen["header"] = extra.Header.Get("traceparent")
	}
	bytes, err := json.Marshal(seen)
	return said(string(bytes)), err
}

func ask(ctx context.Context, call *request, _ none) (*mcp.CallToolResult, error) {
	answer, err := call.Session.Elicit(ctx, &mcp.ElicitParams{
		Message: "Which colour?",
		RequestedSchema: map[string]any{
			"type": "object", "properties": map[string]any{"colour": map[string]any{"type": "string"}},
		},
	})
	if err != nil {
		return nil, err
	}
	return said(fmt.Sprintf("%s %v", answer.Action, answer.Content["colour"])), nil
}

func fixture() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "matrix-go", Version: "1.0.0"}, nil)
	tool(server, "echo", "Give the text back.", func(_ context.Context, _ *request, in text) (*mcp.CallToolResult, error) {
		return said(in.Text), nil
	})
	tool(server, "add", "Give the sum.", func(_ context.Context, _ *request, in numbers) (*mcp.CallToolResult, error) {
		return said(fmt.Sprint(in.A + in.B)), nil
	})
	tool(server, "fail", "Answer with a result whose isError is true.", func(_ context.Context, _ *request, in message) (*mcp.CallToolResult, error) {
		result := said(in.Message)
		result.IsError = true
		return result, nil
	})
	tool(server, "progress", "Report progress n times, then answer.", reportProgress)
	tool(server, "trace", "Give the trace context that came with the call.", trace)
	tool(server, "ask", "Ask the client for a colour.", ask)
	addOthers(server)
	return server
}

func addOthers(server *mcp.Server) {
	note := &mcp.Resource{Name: "note", URI: "fixture://note", MIMEType: "text/plain"}
	server.AddResource(note, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		contents := &mcp.ResourceContents{URI: note.URI, MIMEType: note.MIMEType, Text: "a note"}
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{contents}}, nil
	})
	name := &mcp.PromptArgument{Name: "name", Required: true}
	greet := &mcp.Prompt{Name: "greet", Description: "One prompt.", Arguments: []*mcp.PromptArgument{name}}
	server.AddPrompt(greet, func(_ context.Context, call *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		words := &mcp.TextContent{Text: "Say hello to " + call.Params.Arguments["name"] + "."}
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: words}}}, nil
	})
}

// bothEras: a server with sessions does not speak 2026-07-28 in this SDK, one without cannot ask an older client.
func bothEras(fresh func(*http.Request) *mcp.Server) http.Handler {
	legacy := mcp.NewStreamableHTTPHandler(fresh, nil)
	modern := mcp.NewStreamableHTTPHandler(fresh, &mcp.StreamableHTTPOptions{Stateless: true})
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Mcp-Protocol-Version") == "2026-07-28" {
			modern.ServeHTTP(response, request)
		} else {
			legacy.ServeHTTP(response, request)
		}
	})
}

func serve(handler http.Handler, portFile string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(portFile+".new", []byte(listener.Addr().String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(portFile+".new", portFile); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(listener, handler)
}

func run(arguments []string) error {
	fresh := func(*http.Request) *mcp.Server { return fixture() }
	switch {
	case len(arguments) == 1 && arguments[0] == "stdio":
		return fixture().Run(context.Background(), &mcp.StdioTransport{})
	case len(arguments) == 3 && arguments[0] == "sse":
		return serve(mcp.NewSSEHandler(fresh, nil), arguments[2])
	case len(arguments) == 3 && arguments[0] == "http":
		return serve(bothEras(fresh), arguments[2])
	}
	return fmt.Errorf("not understood: %v", arguments)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
