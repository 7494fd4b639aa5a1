package core

import (
	"context"
	"errors"
)

// The embedded engine is compiled without the clients of language models: their SDKs are a sixth of what Dagger
// compiles, and a build never calls them. Replayed conversations still work.
var errNoLLM = errors.New("the embedded engine is compiled without clients of language models; use an official engine")

type noLLM struct{}

func newAnthropicClient(*LLMEndpoint) LLMClient { return noLLM{} }

func newOpenAIClient(*LLMEndpoint, string, bool) LLMClient { return noLLM{} }

func newGenaiClient(*LLMEndpoint) (LLMClient, error) { return nil, errNoLLM }

func (noLLM) SendQuery(context.Context, []*ModelMessage, []LLMTool) (*LLMResponse, error) {
	return nil, errNoLLM
}

func (noLLM) IsRetryable(error) bool { return false }
