"""Every exception and warning a user may meet: each message says what is wrong, where, and what to do about it."""


class MedwsssError(Exception):
    """Base of all errors caused by input; the command line prints its one line and exits with code 2."""


class DatasetError(MedwsssError):
    """A data set is missing, incomplete or inconsistent."""


class VolumeError(MedwsssError):
    """A volume cannot be read or written, or holds values that no segmentation can use."""


class ImageLabelsError(MedwsssError):
    """A table of image-level labels is malformed or does not fit the data set."""


class SplitError(MedwsssError):
    """A split shares a patient between its parts or does not fit the data set."""


class ConfigError(MedwsssError):
    """A configuration has an unknown key or a value out of range."""


class WeightsError(MedwsssError):
    """Pretrained weights cannot be found, read or fitted to the encoder."""


class CheckpointError(MedwsssError):
    """A run folder or checkpoint is missing, incomplete or of another configuration."""


class TrainingError(MedwsssError):
    """Training cannot go on, for example because a loss is not finite."""


class OutputError(MedwsssError):
    """An output folder cannot be written, or already holds something that would be lost."""


class EvaluationError(MedwsssError):
    """Predictions and references cannot be compared."""


class MedwsssWarning(UserWarning):
    """Something in the input was handled and counted; the message names the file and says what was done."""
