variable "name" {
  description = "Name of everything."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "cidr" {
  description = "Address range of the region, a /16 that no other region uses."
  type        = string
}

variable "open_ports" {
  description = "Ports of machines that clients and health probes reach from outside."
  type        = list(string)
}

variable "cluster_ports" {
  description = "Ports of clusters' services that clients reach from outside; null: the region has no cluster."
  type        = list(string)
  default     = null
}
