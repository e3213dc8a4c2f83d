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

variable "zones" {
  description = "Availability zones; none where the region has none."
  type        = list(string)
}

variable "labels" {
  description = "First part of the name of each component's address in the region's domain, by which Traffic Manager knows it."
  type        = map(string)
}

variable "node_port" {
  description = "TCP port of the Lifeboat node."
  type        = number
}
