"""Trainable maps of a student field to the teacher's shape."""

from kd_det.connectors.abf import ABFConnector
from kd_det.connectors.adaptor import EmbeddingAdaptor
from kd_det.connectors.base import Connector

__all__ = ['ABFConnector', 'Connector', 'EmbeddingAdaptor']
