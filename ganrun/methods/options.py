"""Importing this module registers every method."""

from ganrun.methods.autoregressive import option as autoregressive
from ganrun.methods.dbm import option as dbm
from ganrun.methods.drifting import option as drifting
from ganrun.methods.flow import option as flow
from ganrun.methods.gan import option as gan
from ganrun.methods.gsn import option as gsn
from ganrun.methods.rbm import option as rbm
from ganrun.methods.vae import option as vae

__all__ = ["autoregressive", "dbm", "drifting", "flow", "gan", "gsn", "rbm", "vae"]
