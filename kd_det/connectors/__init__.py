"""Trainable modules that map student fields to the teacher's shape."""

from kd_det.connectors.abf import ABFConnector
from kd_det.connectors.adaptor import EmbeddingAdaptor
from kd_det.connectors.align import AlignConnector
from kd_det.connectors.base import Connector
from kd_det.connectors.conv import ConvAdaptor, LinearAdaptor
from kd_det.connectors.mgd import MGDConnector
from kd_det.connectors.mmrazor import MMRazorConnector

__all__ = [
    'ABFConnector',
    'AlignConnector',
    'Connector',
    'ConvAdaptor',
    'EmbeddingAdaptor',
    'LinearAdaptor',
    'MGDConnector',
    'MMRazorConnector',
]
