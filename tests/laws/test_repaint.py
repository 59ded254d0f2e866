"""RePaint's walk against diffusers' own and the paper's counts, and the law of what it noises anew."""

import math

import pytest
import torch

from zz.diffusion.noise import KeyedNoise, starting_noise
from zz.diffusion.prediction import from_x0
from zz.diffusion.samplers.repaint import RePaint
from zz.diffusion.samplers.resampling import Resampling
from zz.diffusion.samplers.standard import Standard

from .test_identities import FLOW, VP, X, run, wild


@pytest.mark.parametrize(("T", "jump", "passes"), [(250, 10, 10), (50, 10, 10), (20, 1, 3), (23, 4, 2), (10, 10, 5)])
def test_the_walk_is_that_of_diffusers(T, jump, passes):
    """diffusers lists the time of each state that it comes to (0 is the last but one); so do ours, from T - 1 - i."""
    from diffusers import RePaintScheduler

    theirs = RePaintScheduler(num_train_timesteps=1000)
    theirs.set_timesteps(T, jump_length=jump, jump_n_sample=passes)
    ours = [T - 1] + [T - 1 - (i + 1 if down else i) for i, down in RePaint(5.5, jump, passes).moves(T)]
    assert ours[-1] == -1
    assert [t * (1000 // T) for t in ours[:-1]] == theirs.timesteps.tolist()


def test_the_papers_counts():
    moves = list(RePaint(jump=10, passes=10).moves(250))
    assert sum(down for _, down in moves) == RePaint(jump=10, passes=10).nfe(250) == 2410
    assert sum(not down for _, down in moves) == 2160


@pytest.mark.parametrize("sampler", [RePaint(passes=1, jump=3), RePaint(passes=4, jump=VP.T)], ids=repr)
def test_without_a_second_pass_it_is_standard(sampler):
    assert torch.equal(run(sampler, wild), run(Standard(), wild))
    assert sampler.resolve(VP.T) == Standard() and sampler.nfe(VP.T) == VP.T


def test_jumps_of_one_node_are_resampling_to_the_bit():
    resampling = Resampling(5.5, VP.T - 1, 3)
    assert torch.equal(run(RePaint(5.5, 1, 4), wild), run(resampling, wild))
    assert RePaint(5.5, 1, 4).resolve(VP.T) == resampling


@pytest.mark.parametrize("schedule", [VP, FLOW], ids=["vp", "flow"])
def test_every_state_has_the_law_of_the_forward_process(schedule):
    """With the exact answer x_0 to every question, each x_t that is noised anew is q(x_t | x_0), within 5 standard
    errors: an independent count over all states in which a prediction is asked for."""
    n, x0 = 100_000, 0.7
    seen = []

    def certain(x, node, gamma, leg):
        seen.append((node, x.double().mean().item(), x.double().var().item()))
        return from_x0(x, node, torch.full_like(x, x0))

    first = schedule[0]
    start = first.alpha * x0 + first.sigma * starting_noise((3,), (n, 1, 1))
    RePaint(1.0, 4, 3).sample(certain, start, schedule, _ddim(), KeyedNoise((7,), (n, 1, 1)))
    assert len(seen) == RePaint(1.0, 4, 3).nfe(schedule.T) == 12 + 2 * 2 * 4
    for node, mean, variance in seen:
        assert abs(mean - node.alpha * x0) < 5 * node.sigma / math.sqrt(n)
        assert abs(variance - node.sigma**2) < 5 * node.sigma**2 * math.sqrt(2 / n)


def test_it_draws_fresh_noise_for_each_move_back():
    keys = []

    def noise(step, leg, round):
        keys.append((step, leg, round))
        return KeyedNoise((0, 1, 2), (4, 8, 8))(step, leg, round)

    RePaint(5.5, 3, 3).sample(wild, X, VP, _ddim(), noise)
    assert len(keys) == len(set(keys)) == 3 * 3 * 2  # landings at nodes 11, 8 and 5, each twice, three moves each


def _ddim():
    from zz.diffusion.solvers.ddim import DDIM

    return DDIM()


@pytest.mark.parametrize(("fields", "message"), [({"jump": 0}, "sampler.jump=0"), ({"passes": 0}, "sampler.passes=0")])
def test_impossible_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        RePaint(**fields)
