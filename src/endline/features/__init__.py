"""Evidence to arrays: pure functions on arrays and tensors; nothing here fits, scores or writes."""
