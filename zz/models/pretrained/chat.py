"""Text encoders that are chat models: a prompt is a user's message in the template of their tokenizer."""

from typing import Any

MESSAGE = "MESSAGE"


def opening(tokenizer: Any) -> int:
    """How many tokens of the template stand before the prompt."""
    asked = [{"role": "user", "content": MESSAGE}]
    before, _, _ = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True).partition(MESSAGE)
    return len(tokenizer(before).input_ids)


def check_template(parts: Any) -> None:
    """Raise ValueError if the tokenizer of a diffusers pipeline has no template."""
    if not getattr(parts.tokenizer, "chat_template", None):
        raise ValueError(
            f"the {type(parts).__name__}'s tokenizer has no chat_template, in which its prompts are put: load the "
            "tokenizer that was published with it"
        )


__all__ = ["check_template", "opening"]
