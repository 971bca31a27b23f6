"""From a row to the model's completion: worked examples, prompts, one question at a time, sections read back."""
