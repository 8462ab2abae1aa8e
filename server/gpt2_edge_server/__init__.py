"""An HTTP server over one package: OpenAI's endpoints, the playground's, and its page."""
