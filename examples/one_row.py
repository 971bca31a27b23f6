"""Follow one row by hand, with prints: what `selfcodealign run` does for thousands.

    python examples/one_row.py                 # on the embedded model
    python examples/one_row.py --model PATH    # on your own checkpoint

No run folder, no concurrency, no retries: a seed, three prompts, one sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from selfcodealign import Program, Sampling, Sandbox
from selfcodealign.curation.functions import extract_seeds
from selfcodealign.generation.draws import draw_examples
from selfcodealign.generation.few_shot_file import lay_out_properties, load_few_shot
from selfcodealign.generation.prompts import lay_out, stop_strings
from selfcodealign.generation.reading import read_sections
from selfcodealign.models import Model
from selfcodealign.models.opening import open_model
from selfcodealign.rows import Seed, SourceFile
from selfcodealign.settings import ModelSettings, SeedSettings

SOURCE = '''
import string


def count_vowels(text):
    """Return how often each vowel occurs in a text."""
    counts = {}
    for letter in text.lower():
        if letter in "aeiou" and letter in string.ascii_letters:
            counts[letter] = counts.get(letter, 0) + 1
    return counts
'''


async def follow_one_row(model: Model, few_shot_name: str) -> None:
    few_shot = load_few_shot(few_shot_name)

    show("1. Source code → seed: a documented function, with the imports it needs")
    file = SourceFile(id="0" * 16, path="vowels.py", text=SOURCE, origin="example", licence="Apache-2.0")
    seed = next(row for row in extract_seeds(file, SeedSettings()) if isinstance(row, Seed))
    print(seed.seed)

    async def ask(stage: str, shown: dict[str, str], wanted: tuple[str, ...], number: int = 0) -> dict[str, str] | None:
        examples = draw_examples(few_shot.pool(stage, 1), 1, stage, seed.id, 64)
        prompt = lay_out(few_shot.introductions[stage], examples, shown, wanted)
        if number == 0:
            print(f"--- the end of the prompt ({len(prompt)} characters) ---\n…{prompt[-300:]}")
            print("--- the model continues ---")
        sampling = Sampling(temperature=0.7, max_tokens=160, stop=stop_strings(wanted))
        completion = await model.complete(prompt, sampling, seed=number)
        print(completion.text)
        return read_sections(completion.text, wanted).sections or None

    show("2. Seed → concepts")
    concepts = await ask("concepts", {"snippet": seed.seed}, ("concepts",))

    show("3. Concepts → instruction")
    named = concepts["concepts"].split(", ") if concepts else ["dictionary"]
    properties = lay_out_properties("function", "Python", "easy", named)
    instruction = await ask("instructions", {"properties": properties}, ("instruction",))
    if instruction is None:
        print("the model wrote no instruction: in a run this row would be dropped as unparsed")
        return

    show("4. Instruction → responses with tests, 5. execution, until one is verified")
    async with Sandbox(workers=1, warm=()) as sandbox:
        for number in range(8):
            answer = await ask("responses", instruction, ("response", "tests"), number)
            if answer is None:
                print("==> unparsed")
                continue
            verdict = await sandbox.run(Program(response=answer["response"], tests=answer["tests"]))
            print(f"==> {verdict.status} {verdict.message} (mutation score: {verdict.mutation_score})")
            if verdict.passed:
                show("6. A verified example")
                print({"instruction": instruction["instruction"], "response": answer["response"]})
                return


def show(title: str) -> None:
    print(f"\n=== {title} ===\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--few-shot", default=None, help="default: tiny for the embedded model, python for others")
    options = parser.parse_args()
    few_shot = options.few_shot or ("tiny" if options.model == "embedded" else "python")
    if Path(options.model).is_dir():
        options.model = str(Path(options.model))
    async with open_model(ModelSettings(name=options.model)) as model:
        await follow_one_row(model, few_shot)


if __name__ == "__main__":
    asyncio.run(main())
