"""Renderers and grammars of the two small worlds that models, prompt sets and scorers stand on."""
