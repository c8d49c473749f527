"""Commands of `fcn8s` in this process, each without the others."""

import argparse


def run_command(module, *words):
    """Runs the command of a module of `fcn8s.cli`; returns its exit status, and leaves errors to the caller."""
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    name = module.__name__.rpartition('.')[2].replace('_', '-')
    args = parser.parse_args([name] + [str(word) for word in words])
    return args.run(args)
