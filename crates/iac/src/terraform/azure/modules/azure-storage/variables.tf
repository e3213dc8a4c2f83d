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

variable "replication" {
  description = "Kind of redundancy, such as RAGZRS."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets that may connect, by region."
  type        = map(string)
}

variable "containers" {
  description = "Containers that are made, and backed up."
  type        = list(string)
}
