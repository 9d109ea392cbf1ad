"""Other names of a pipeline's steps and seed."""

import inspect

import pytest
import torch

from geomflow import Pipeline, shelves
from geomflow.call_names import with_diffusers_names


class Echo(Pipeline):
    """A pipeline that returns what it is asked for."""

    def __init__(self) -> None:
        """Needs no model."""

    def __call__(self, count: int = 1, steps: int = 2, seed: int = 0) -> tuple[int, int, int]:
        """Returns its options."""
        return count, steps, seed


class Stepless(Echo):
    """One that knows neither."""

    def __call__(self, count: int = 1) -> int:
        """Returns its option."""
        return count


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_their_names_are_ours():
    assert Echo()(3, num_inference_steps=4, generator=generator(7)) == (3, 4, 7)
    assert Echo()(3, steps=4, generator=generator(7)) == (3, 4, 7)
    assert Echo()(3, 4, 7) == (3, 4, 7)
    assert Echo()(num_inference_steps=None, generator=None) == (1, 2, 0)


def test_a_generator_is_read_and_not_advanced():
    stream = generator(5)
    torch.rand(10, generator=stream)
    before = stream.get_state()
    assert Echo()(generator=stream) == Echo()(generator=stream) == (1, 2, 5)
    assert torch.equal(stream.get_state(), before)


def test_both_names_of_one_option_are_refused():
    with pytest.raises(TypeError, match="steps and num_inference_steps are two names of one option"):
        Echo()(steps=2, num_inference_steps=2)
    with pytest.raises(TypeError, match="seed and generator are two names of one option"):
        Echo()(seed=0, generator=generator(0))
    with pytest.raises(TypeError, match="multiple values for argument 'steps'"):
        Echo()(1, 2, num_inference_steps=2)


def test_a_generator_is_a_generator():
    with pytest.raises(TypeError, match=r"generator must be a torch.Generator, given a list"):
        Echo()(generator=[generator(0)])


def test_an_option_that_is_not_there_stays_unknown():
    assert Stepless()(3) == 3
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_inference_steps'"):
        Stepless()(num_inference_steps=2)


def test_signature_and_documentation_stay():
    assert list(inspect.signature(Echo()).parameters) == ["count", "steps", "seed"]
    assert Echo.__call__.__doc__ == "Returns its options."
    assert with_diffusers_names(len).__name__ == "len"


@pytest.mark.parametrize("kind", shelves.names("pipelines"))
def test_every_kind_of_pipeline_knows_them(kind):
    module = __import__(f"geomflow.pipelines.{kind}", fromlist=["make"])
    (pipeline,) = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Pipeline) and item.__module__ == module.__name__
    ]
    assert {"steps", "seed"} <= inspect.signature(pipeline.__call__).parameters.keys()
    with pytest.raises(TypeError, match="steps and num_inference_steps are two names"):
        pipeline.__call__(None, steps=1, num_inference_steps=1)
    with pytest.raises(TypeError, match="seed and generator are two names"):
        pipeline.__call__(None, seed=1, generator=generator(1))


def test_images_are_the_same_by_either_name(unchecked_shapes):
    pipe = Pipeline.from_pretrained("fashion")
    ours, theirs = pipe(steps=1, seed=4), pipe(num_inference_steps=1, generator=generator(4))
    assert (ours.images == theirs.images).all()
    assert theirs.seeds == [4]
