"""Every option is also a variable of the environment, by one rule."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from sonda.cli import options, params
from sonda.cli.commands import sonda


def all_options(command: click.Command) -> Iterator[click.Option]:
    for one in command.params:
        if isinstance(one, click.Option):
            yield one
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from all_options(inner)


def test_variables_are_named_by_their_options() -> None:
    """`SONDA_` and the long name, whatever the short one or the argument's name is."""
    found = [one for one in all_options(sonda) if isinstance(one, options.Option)]
    names = [max(one.opts, key=len).removeprefix("--") for one in found]
    assert {"ca-cert", "proxy-from-env", "severity", "to"} <= {*names}
    assert [one.envvar for one in found] == [
        f"SONDA_{name.replace('-', '_').upper()}" for name in names
    ]


@click.command()
@options.option("-n", "--name", "names", multiple=True)
@options.option("--to", type=params.To(), multiple=True)
@options.option("--count", type=click.IntRange(1))
def probe(names: tuple[str, ...], to: tuple[str, ...], count: int | None) -> None:
    """Print what is read."""
    click.echo([names, to, count])


def typed(*words: str, **variables: str) -> Result:
    return CliRunner(env=variables).invoke(probe, words)


def test_what_may_be_repeated_is_separated_by_commas() -> None:
    """Each type splits its own: brokers of Kafka are not several destinations. The flag wins."""
    assert typed(SONDA_NAME="a,b").stdout == "[('a', 'b'), (), None]\n"
    assert typed("-n", "c", SONDA_NAME="a,b").stdout == "[('c',), (), None]\n"
    found = typed(SONDA_TO="kafka=a:1,b:2/t,stdout").stdout
    assert found == "[(), ('kafka=a:1,b:2/t', 'stdout'), None]\n"


@pytest.mark.parametrize(
    ("words", "variables", "named"),
    [((), {"SONDA_COUNT": "0"}, "SONDA_COUNT"), (("--count", "0"), {}, "'--count'")],
)
def test_a_mistake_names_where_it_was_made(
    words: tuple[str, ...], variables: dict[str, str], named: str
) -> None:
    """The variable, where it was not the flag."""
    result = typed(*words, **variables)
    assert result.exit_code == 2
    assert f"Invalid value for {named}: 0 is not in the range" in result.stderr
