"""``diffanim completion``: print a shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes diffanim's commands and options.

    \b
      bash:  eval "$(diffanim completion bash)"     in ~/.bashrc
      zsh:   eval "$(diffanim completion zsh)"      in ~/.zshrc
      fish:  diffanim completion fish | source      in ~/.config/fish/config.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None
    root = ctx.find_root().command
    click.echo(completer(root, {}, "diffanim", "_DIFFANIM_COMPLETE").source())
