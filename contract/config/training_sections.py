"""Sections about the mathematics: what is trained, on what, and how contributions become weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contract.config.fields import (
    BigSeed,
    Count,
    CountOrZero,
    Identifier,
    OpenShare,
    Positive,
    Seconds,
    Section,
    Share,
    ShareBelowOne,
    Text,
)


class Run(Section):
    """Which run of the ledger this is."""

    name: Identifier = Field(default="default", description="Name of the run; the same name resumes it.")
    seed: BigSeed = Field(default=0, description="Number that fixes first weights and the order of the data.")
    description: Annotated[str, Field(max_length=1000)] = Field(
        default="", description="What the run is about, in a sentence for volunteers."
    )


class Model(Section):
    """Which model is trained."""

    name: Identifier = Field(default="dcgan", description="Name of the workload.")
    latent_dim: Count = Field(default=100, description="Length of the generator's random input, in values.")
    generator_features: Count = Field(default=64, description="Width of the generator, in channels.")
    discriminator_features: Count = Field(default=64, description="Width of the discriminator, in channels.")
    image_size: Annotated[int, Field(ge=8, le=4096)] = Field(
        default=64, description="Height and width of an image, in pixels."
    )
    channels: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Colour channels of an image: 1 is grey, 3 is colour."
    )
    options: dict[str, object] = Field(
        default_factory=dict, description="Further options of the workload, by name; each workload documents its own."
    )


class Data(Section):
    """What the model learns from."""

    name: Identifier = Field(default="glyphs", description="Name of the data source.")
    path: Text | None = Field(default=None, description="Folder or file of a data source that reads from disk.")
    num_samples: Count | None = Field(default=None, description="Samples to use; unset uses all there are.")
    options: dict[str, object] = Field(
        default_factory=dict, description="Further options of the data source, by name; each documents its own."
    )


class Training(Section):
    """How the work is cut, and how the optimizer steps."""

    mode: Literal["sync", "async", "local"] = Field(
        default="sync", description="Whether an update waits for a round, takes what comes, or merges local steps."
    )
    batch_size: Count = Field(default=32, description="Samples in one batch.")
    batches_per_work_unit: Count = Field(
        default=10, description="Batches in one work unit; in local each is a step that the worker takes."
    )
    num_workunits_per_update: Count | Literal["auto"] = Field(
        default=3, description="Work units merged into one update; auto follows the number of active workers."
    )
    spare_units: CountOrZero = Field(
        default=1, description="Work units opened beyond those an update needs, so that nobody waits for the slowest."
    )
    round_deadline: Seconds = Field(
        default=600,
        description="Seconds after which a round closes with what it has; in async, what a gradient waits for others.",
    )
    num_epochs: Count = Field(default=50, description="Epochs (passes over the data) to train.")
    # These four defaults are a GAN's; left at them, every other workload is trained with its own.
    learning_rate_g: Positive = Field(
        default=0.0002, description="Step size of the generator, or of the only model; at the default the model's own."
    )
    learning_rate_d: Positive = Field(default=0.0002, description="Step size of the discriminator.")
    beta1: ShareBelowOne = Field(
        default=0.5, description="Share of Adam's running mean kept at each step; at the default the model's own."
    )
    beta2: ShareBelowOne = Field(
        default=0.999, description="Share of Adam's running variance kept at each step; at the default the model's own."
    )
    outer_learning_rate: Positive = Field(
        default=0.7, description="In local: step size along the mean of what the workers' own steps came to."
    )
    outer_momentum: ShareBelowOne = Field(
        default=0.5, description="In local: share of the rounds' running sum kept at each round (Nesterov's momentum)."
    )
    local_seconds: Seconds | None = Field(
        default=None,
        description="In local: seconds after which a slow worker delivers what it has; unset: half of round_deadline.",
    )
    gradient_clip_norm: Positive | None = Field(
        default=None, description="Largest Euclidean norm of a gradient, longer ones are shortened; unset clips none."
    )


class Aggregation(Section):
    """How many gradients become one."""

    rule: Identifier = Field(default="mean", description="Name of the aggregation rule.")
    num_byzantine: CountOrZero = Field(
        default=0, description="Gradients per update that may be wrong or hostile and must do no harm."
    )
    options: dict[str, object] = Field(
        default_factory=dict, description="Further options of the rule, by name; each rule documents its own."
    )
    before: list[Identifier] = Field(
        default_factory=list,
        description="Names of the pre-aggregators that the gradients pass before the rule, in their order.",
    )
    before_options: dict[str, dict[str, object]] = Field(
        default_factory=dict, description="Options of the pre-aggregators, by their names and then by the option's."
    )


class Staleness(Section):
    """What a gradient that comes late is still worth."""

    policy: Literal["fixed", "adaptive"] = Field(
        default="fixed", description="Whether all workers have the same bound, or slower ones a wider bound."
    )
    max_staleness: CountOrZero = Field(
        default=50, description="Versions published since the claim beyond which a gradient is refused."
    )
    min_staleness: CountOrZero = Field(
        default=5, description="Versions below which the adaptive bound of a fast worker never falls."
    )
    max_staleness_multiplier: Annotated[float, Field(ge=1)] = Field(
        default=10, description="Times max_staleness above which the adaptive bound of a slow worker never rises."
    )
    decay: Identifier = Field(
        default="inverse_sqrt",
        description="Rule by which a late gradient loses weight: constant, inverse_sqrt, exponential or cosine.",
    )
    decay_rate: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="Rate of an exponential or cosine decay, per version."
    )


class Compression(Section):
    """How gradients travel, and model versions back."""

    codec: Identifier = Field(
        default="none",
        description="Name of the codec; none sends every value whole, auto picks for each worker what its line allows.",
    )
    options: dict[str, object] = Field(
        default_factory=dict, description="Further options of the codec, by name; each codec documents its own."
    )
    feedback_decay: Share | None = Field(
        default=None,
        description="Share of what a lossy codec left out that is kept per version; unset: all of it, 0.95 in local.",
    )
    feedback_max_age: CountOrZero = Field(
        default=20, description="Versions after which what was left out is forgotten."
    )
    downlink: Identifier = Field(
        default="two_bit",
        description="Codec in which the change from version to version travels; none sends every version whole.",
    )
    downlink_options: dict[str, object] = Field(
        default_factory=dict, description="Further options of that codec, by name."
    )
    keyframe_interval: Count = Field(
        default=20,
        description="Versions between two that are kept whole, for those who cannot follow from change to change.",
    )


class Privacy(Section):
    """What the model may reveal of a single sample."""

    enabled: bool = Field(
        default=False, description="Clip what each work unit says, add noise to their mean, and account for what leaks."
    )
    clip_norm: Positive = Field(
        default=1.0, description="Largest Euclidean norm of what one unit says, over all parameters together."
    )
    noise_multiplier: Positive = Field(
        default=2.0, description="Standard deviation of the noise on the sum of an update, in multiples of clip_norm."
    )
    delta: OpenShare = Field(
        default=1e-5, description="Probability with which the promise may fail; below 1 / number of samples."
    )
    epsilon_budget: Positive = Field(
        default=8.0, description="Privacy loss (epsilon, in nats) before which the run ends."
    )
