"""MQTT and Home Assistant; imported only when switched on."""
