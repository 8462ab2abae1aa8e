"""What lies in a package's folder: read, bounded and checked before anything is believed."""
