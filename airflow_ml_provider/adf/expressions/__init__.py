"""The expression language: grammar, evaluator, functions, and properties with expressions in them."""
