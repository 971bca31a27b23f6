"""`selfcodealign rejudge`: judge the stored answers of a run again, by this version or under other limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NO_ARGS_IS_HELP = True


def rejudge(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a limit: execution.key=value; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write every changed answer with both verdicts to this .jsonl or .jsonl.gz file.",
            metavar="FILE",
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the new verdicts the run's; redo selection and data set.")
    ] = False,
    fail_on_flips: Annotated[
        bool, typer.Option("--fail-on-flips", help="Exit with code 1 if a status changed, for CI.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Judge again what an earlier call has judged under the same settings.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs run in parallel; default: the run's setting.", metavar="N")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out if it exists.")] = False,
) -> None:
    """Judge the stored answers of a run again and list the flips: answers whose status changed, by reason.

    Every stored answer that was run, kept or dropped, is run again in the sandbox of this version, with the run's own
    limits (execution in RUN/recipe.toml) or those of --set. No model is asked. The verdicts are written to
    RUN/rejudged, and the rows of the run stay. A stopped call loses only the programs under way: the same command
    resumes it. Answers that pass twice may have another proof or mutation score; these are listed apart from flips.

    With --apply the new verdicts become the run's: answers move between kept and dropped under the same ids, the
    earlier rows move to superseded, recipe.toml gets the settings, and selection and data set are made again. What the
    model would have answered under these verdicts is not known: an instruction whose only passing answer fails now
    gets no further answers.

        selfcodealign rejudge runs/mine
        selfcodealign rejudge runs/mine --set execution.seconds=3 -o flips.jsonl
        selfcodealign rejudge runs/mine --set execution.seconds=3 --apply
    """
    from selfcodealign.commands.stopping import run_stoppable
    from selfcodealign.errors import UserError
    from selfcodealign.progress.terminal import open_progress
    from selfcodealign.rejudge import rejudge_run
    from selfcodealign.report.flips import tell_changes, write_changes

    if out is not None and out.exists() and not overwrite:
        raise UserError(f"{out} exists: give --overwrite to replace it, or name another file")
    with open_progress() as progress:
        work = rejudge_run(run, settings or [], workers=workers, apply=apply, fresh=fresh, progress=progress)
        done = run_stoppable(work, progress, "all verdicts so far are")
    for line in tell_changes(done.changes, run):
        print(line)
    print(f"verdicts: {done.table.path}")
    if apply:
        print(f"applied; go on with: selfcodealign run --out {run}")
    if out is not None:
        write_changes(done.table, out)
        print(f"changed answers: {out}")
    if fail_on_flips and done.changes.flips:
        raise typer.Exit(1)
