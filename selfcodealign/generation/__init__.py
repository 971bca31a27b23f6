"""From a row to a model's text: worked examples, prompts, one question at a time, sections read back."""
